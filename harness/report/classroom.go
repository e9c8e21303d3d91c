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

// classroomResults is the result of a test runner in the form that GitHub Classroom's
// autograding reporter reads, in base64, from the variable <ID>_RESULTS.
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

// classroom writes one line of base64. If a document could not be graded every test
// has the status error and the score 0. As the format cannot omit a score, the workflow
// has to check lab's exit code first.
func classroom(w io.Writer, doc verdict.Document) error {
	doc = words.Document(redact.Shown(doc, verdict.Visible)) // the format cannot show a test later
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
