package report

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// classroomResults is what GitHub Classroom's autograding reporter reads of a test
// runner, in base64, from the variable <ID>_RESULTS.
type classroomResults struct {
	Version  int             `json:"version"`
	Status   string          `json:"status"` // pass, fail or error
	MaxScore int             `json:"max_score"`
	Tests    []classroomTest `json:"tests"`
}

type classroomTest struct {
	Name     string `json:"name"`
	Status   string `json:"status"`
	Score    int    `json:"score"`
	LineNo   int    `json:"line_no"`
	Message  string `json:"message"`
	TestCode string `json:"test_code"`
}

// classroom writes one line of base64. A document that could not be graded has
// the status error on every test: the format has no way to leave a score out, so
// whoever reads the exit code has to stop there.
func classroom(w io.Writer, doc verdict.Document) error {
	doc = words.Document(redact.Shown(doc, verdict.Visible)) // there is no other time to show a test at
	out := classroomResults{Version: 1, Status: string(verdictOf(doc)), Tests: []classroomTest{}}
	for _, r := range doc.Results {
		for _, c := range r.Checks {
			test := classroomTest{Name: plain(c.Name), Status: "pass", Score: c.Score, Message: strings.Join(detail(c), "\n"), TestCode: plain(c.Why)}
			if r.Arch != "" {
				test.Name = plain(r.Arch) + ": " + test.Name
			}
			switch {
			case r.Verdict == verdict.Error:
				test.Status, test.Score = "error", 0
				test.Message = notYours + plain(r.Error)
			case c.Verdict != verdict.Pass:
				test.Status = "fail"
			}
			out.MaxScore += c.MaxScore
			out.Tests = append(out.Tests, test)
		}
	}
	data, err := json.Marshal(out)
	if err == nil {
		_, err = fmt.Fprintln(w, base64.StdEncoding.EncodeToString(data))
	}
	if err != nil {
		return fmt.Errorf("write classroom results: %w", err)
	}
	return nil
}
