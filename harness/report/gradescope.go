package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"kernellab/harness/grade"
)

// gradescopeResults is Gradescope's results.json. The top-level score is left
// out: Gradescope then adds up the tests'.
type gradescopeResults struct {
	ExecutionTime    float64           `json:"execution_time,omitempty"` // seconds
	Output           string            `json:"output"`
	OutputFormat     string            `json:"output_format"`
	TestOutputFormat string            `json:"test_output_format"`
	TestNameFormat   string            `json:"test_name_format"`
	Visibility       string            `json:"visibility"`
	StdoutVisibility string            `json:"stdout_visibility"`
	ExtraData        map[string]string `json:"extra_data"`
	Tests            []gradescopeTest  `json:"tests"`
}

type gradescopeTest struct {
	Score     int               `json:"score"`
	MaxScore  int               `json:"max_score"`
	Status    string            `json:"status"` // passed or failed
	Name      string            `json:"name"`
	Number    string            `json:"number"`
	Output    string            `json:"output,omitempty"`
	Tags      []string          `json:"tags"`
	ExtraData map[string]string `json:"extra_data"`
}

func gradescope(w io.Writer, doc grade.Document) error {
	out := gradescopeResults{
		OutputFormat: "text", TestOutputFormat: "text", TestNameFormat: "text",
		// What the harness prints may tell how a submission is judged; the
		// results say all that is for the student.
		Visibility: "visible", StdoutVisibility: "hidden",
		ExtraData: map[string]string{"schema": grade.Schema},
		Tests:     []gradescopeTest{},
	}
	var text []string
	for i, r := range doc.Results {
		out.ExecutionTime += r.Duration.Seconds()
		text = append(text, fmt.Sprintf("%s: %s, %d of %d", id(r), r.Verdict, r.Score, r.MaxScore))
		if r.Verdict == grade.Error {
			text = append(text, "This could not be graded, which is not your mistake: "+plain(r.Error)+". Tell your instructor.")
		}
		if f := findings(r); f != "" {
			text = append(text, f)
		}
		for _, n := range r.Notes {
			text = append(text, "note: "+plain(n))
		}
		for j, c := range r.Checks {
			out.Tests = append(out.Tests, gradescopeCheck(fmt.Sprintf("%d.%d", i+1, j+1), r, c))
		}
	}
	if len(doc.Results) == 0 {
		text = append(text, "Nothing was graded. Tell your instructor.")
	}
	out.Output = strings.Join(text, "\n")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write gradescope results: %w", err)
	}
	return nil
}

func gradescopeCheck(number string, r grade.Result, c grade.Check) gradescopeTest {
	status := "failed"
	if c.Verdict == grade.Pass {
		status = "passed"
	}
	name := plain(c.Name)
	if r.Arch != "" {
		name = plain(r.Arch) + ": " + name
	}
	return gradescopeTest{
		Score: c.Score, MaxScore: c.MaxScore, Status: status, Name: name, Number: number,
		Output: strings.Join(detail(c), "\n"), Tags: []string{r.Lab, r.Arch},
		ExtraData: map[string]string{"verdict": string(c.Verdict), "kernel": r.Kernel},
	}
}
