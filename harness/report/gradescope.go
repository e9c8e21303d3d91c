package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

// Gradescope says how Gradescope shows results. The zero value shows the tests to the
// student and hides the output of the autograder.
type Gradescope struct {
	// Visibility is that of the output, and of tests whose check has none: see
	// verdict.Visibilities.
	Visibility string
	// Hidden are the names of checks that students do not see, whatever their
	// visibility.
	Hidden []string
	// Stdout is the visibility of the autograder's standard output, which may reveal
	// how submissions are graded. The default is hidden.
	Stdout string
}

// Check rejects unknown visibilities, and hidden checks that are not in names.
func (g Gradescope) Check(names []string) error {
	known := verdict.Visibilities()
	for _, v := range []string{g.Visibility, g.Stdout} {
		if v != "" && !slices.Contains(known, v) {
			return fmt.Errorf("unknown visibility %q%s: use %s", v, nearest.Suggest(v, known), strings.Join(known, ", "))
		}
	}
	for _, name := range g.Hidden {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no check or question %q to hide%s", name, nearest.Suggest(name, names))
		}
	}
	return nil
}

// gradescopeResults is Gradescope's results.json. It has no top-level score, so
// Gradescope adds up the scores of the tests. If a submission could not be graded there
// is no score at all, which Gradescope reports as a failed autograder instead of a
// zero.
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
	Score        *int              `json:"score,omitempty"` // nil: not graded
	MaxScore     int               `json:"max_score"`
	Status       string            `json:"status,omitempty"` // passed or failed
	Name         string            `json:"name"`
	NameFormat   string            `json:"name_format"`
	Number       string            `json:"number"`
	Output       string            `json:"output,omitempty"`
	OutputFormat string            `json:"output_format"`
	Tags         []string          `json:"tags"`
	Visibility   string            `json:"visibility"`
	ExtraData    map[string]string `json:"extra_data"`
}

// Write writes a document as results.json, with all tests and their visibilities. The
// output mentions only tests that are visible whenever the output is.
func (g Gradescope) Write(w io.Writer, doc verdict.Document) error {
	doc = words.Document(redact.Hide(doc, g.Hidden...))
	shown := words.Document(redact.Shown(doc, verdict.Visibility(g.visibility())))
	out := g.empty(string(verdictOf(shown)))
	graded := doc.ExitCode() != verdict.ExitError
	var text []string
	for i, r := range doc.Results {
		out.ExecutionTime += r.Duration.Seconds()
		for j, c := range r.Checks {
			c = g.shown(r, c)
			out.Tests = append(out.Tests, g.test(fmt.Sprintf("%d.%d", i+1, j+1), r, c, graded))
		}
	}
	for _, r := range shown.Results {
		switch {
		case r.Verdict == verdict.Error:
			text = append(text, id(r)+": error", notYours+plain(r.Error)+". Tell your instructor.")
			continue
		case !graded:
			text = append(text, id(r)+": not counted, as another part could not be graded")
			continue
		case len(r.Checks) == 0:
			text = append(text, id(r))
		default:
			text = append(text, fmt.Sprintf("%s: %s, %d of %d", id(r), r.Verdict, r.Score, r.MaxScore))
		}
		if f := findings(r); f != "" {
			text = append(text, f)
		}
		for _, n := range r.Notes {
			text = append(text, "note: "+plain(n))
		}
	}
	if len(doc.Results) == 0 {
		text = append(text, "Nothing was graded. Tell your instructor.")
	}
	out.Output = strings.Join(text, "\n")
	return out.write(w)
}

// shown returns a check without the names that are hidden when the check is visible.
func (g Gradescope) shown(of verdict.Result, c verdict.Check) verdict.Check {
	at := c.Visibility
	if at == "" {
		at = verdict.Visibility(g.visibility())
	}
	return words.Check(redact.ShownCheck(of, c, at))
}

// notYours begins the text for a student whose submission was not graded.
const notYours = "This could not be graded, which is not your mistake: "

// WriteUnfinished writes the results.json of an autograder that has not finished. It
// has the reason and no score.
func (g Gradescope) WriteUnfinished(w io.Writer, why string) error {
	out := g.empty(string(verdict.Error))
	out.Output = notYours + plain(why) + ". Submit again, or tell your instructor."
	return out.write(w)
}

func (g Gradescope) empty(outcome string) gradescopeResults {
	stdout := g.Stdout
	if stdout == "" {
		stdout = "hidden"
	}
	return gradescopeResults{
		OutputFormat: "text", TestOutputFormat: "text", TestNameFormat: "text",
		Visibility: g.visibility(), StdoutVisibility: stdout,
		ExtraData: map[string]string{"schema": verdict.Schema, "verdict": outcome},
		Tests:     []gradescopeTest{},
	}
}

func (out gradescopeResults) write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write gradescope results: %w", err)
	}
	return nil
}

func (g Gradescope) visibility() string {
	if g.Visibility == "" {
		return string(verdict.Visible)
	}
	return g.Visibility
}

func (g Gradescope) test(number string, r verdict.Result, c verdict.Check, graded bool) gradescopeTest {
	name := plain(c.Name)
	if r.Arch != "" {
		name = plain(r.Arch) + ": " + name
	}
	visibility := g.visibility()
	if c.Visibility != "" {
		visibility = string(c.Visibility)
	}
	test := gradescopeTest{
		MaxScore: c.MaxScore, Name: name, NameFormat: "text", Number: number,
		Output: strings.Join(detail(c), "\n"), OutputFormat: "text", Visibility: visibility, Tags: []string{r.Lab, r.Arch},
		ExtraData: map[string]string{"verdict": string(c.Verdict), "kernel": r.Kernel},
	}
	if graded {
		test.Score, test.Status = &c.Score, "failed"
		if c.Verdict == verdict.Pass {
			test.Status = "passed"
		}
	}
	return test
}

// verdictOf returns the worst verdict of a document.
func verdictOf(doc verdict.Document) verdict.Verdict { return Graded{Document: doc}.Verdict() }
