package report

import (
	"fmt"
	"io"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/predict"
	"kernellab/harness/verdict"
)

// Predictions writes what was predicted beside what a run on a kernel showed.
func Predictions(w io.Writer, arch, kernel string, rows []predict.Row, s Style) error {
	p := newPage(w, s)
	p.line("")
	p.text("", 0, p.title, fmt.Sprintf("What you predicted, and what %s Linux %s did", arch, kernel))
	compared, right := 0, 0
	for _, r := range rows {
		p.line("")
		mark := map[verdict.Verdict]string{
			verdict.Pass: p.good.Render("✓"), verdict.Fail: p.bad.Render("✗"), verdict.Skip: p.warn.Render("–"),
		}[r.Verdict]
		p.text("  "+mark, 4, lipgloss.NewStyle(), plain(r.Prompt))
		if r.Verdict != verdict.Skip {
			compared++
		}
		if r.Verdict == verdict.Pass {
			right++
		}
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
