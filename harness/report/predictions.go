package report

import (
	"fmt"
	"io"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/predict"
	"kernellab/harness/verdict"
)

// PredictSchema names the document of predictions and its version.
const PredictSchema = "lab.predict/1"

// Predicted is a run of a lab beside what was predicted.
type Predicted struct {
	Result  verdict.Result // of the run
	Rows    []predict.Row  // none if the run could not be graded
	Answers string         // path of the file of the predictions
}

// WriteJSON writes the document lab.predict/1.
func (p Predicted) WriteJSON(w io.Writer) error {
	compared, right := counted(p.Rows)
	return JSON(w, struct {
		Schema      string          `json:"schema"`
		Lab         string          `json:"lab"`
		Arch        string          `json:"arch"`
		Kernel      string          `json:"kernel"`
		Verdict     verdict.Verdict `json:"verdict"`
		Error       string          `json:"error,omitempty"`
		Answers     string          `json:"answers"`
		Compared    int             `json:"compared"`
		Right       int             `json:"right"`
		Predictions []predict.Row   `json:"predictions"`
	}{PredictSchema, p.Result.Lab, p.Result.Arch, p.Result.Kernel, p.Result.Verdict, p.Result.Error, p.Answers, compared, right, append([]predict.Row{}, p.Rows...)})
}

// counted returns how many predictions a run is compared with, and how many are right.
func counted(rows []predict.Row) (compared, right int) {
	for _, r := range rows {
		if r.Verdict != verdict.Skip {
			compared++
		}
		if r.Verdict == verdict.Pass {
			right++
		}
	}
	return compared, right
}

// Predictions writes what was predicted beside what a run on a kernel showed.
func Predictions(w io.Writer, arch, kernel string, rows []predict.Row, s Style) error {
	p := newPage(w, s)
	p.line("")
	p.text("", 0, p.title, fmt.Sprintf("What you predicted, and what %s Linux %s did", arch, kernel))
	compared, right := counted(rows)
	for _, r := range rows {
		p.line("")
		mark := map[verdict.Verdict]string{
			verdict.Pass: p.good.Render("✓"), verdict.Fail: p.bad.Render("✗"), verdict.Skip: p.warn.Render("–"),
		}[r.Verdict]
		p.text("  "+mark, 4, lipgloss.NewStyle(), plain(r.Prompt))
		p.prediction(r)
	}
	p.line("")
	if compared == 0 {
		p.line("Nothing was predicted.")
	} else {
		p.line("%d of %d predictions were right.", right, compared)
	}
	return p.err
}

// prediction writes what came of one question.
func (p *page) prediction(r predict.Row) {
	const indent = 15
	field := func(name string, style lipgloss.Style, text string) {
		if text != "" {
			p.text("    "+name, indent, style, plain(text))
		}
	}
	switch {
	case r.Predicted == "" && r.Copied:
		p.text("", 4, p.dim, fmt.Sprintf("left for after the run, which shows it: write it behind %s:", r.Name))
	case r.Predicted == "":
		p.text("", 4, p.dim, "no prediction, so nothing is told: answer it and run this again")
	}
	field("predicted", p.value, r.Predicted)
	if r.Seen != r.Predicted {
		field("right", p.value, r.Seen)
	}
	field("", p.dim, r.Why)
	for _, m := range r.Misconceptions {
		field("", lipgloss.NewStyle(), m)
	}
	field("read", p.dim, r.Read)
}
