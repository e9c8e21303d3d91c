package report

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// Text writes a document for a person: every result in full and, if there are several,
// a table of results.
func Text(w io.Writer, doc verdict.Document, s Style) error {
	doc = words.Document(doc)
	p := newPage(w, s)
	for i, r := range doc.Results {
		if i > 0 {
			p.gap()
			p.line("%s", p.dim.Render(strings.Repeat("─", p.width)))
			p.gap()
		}
		p.result(r, r.Steps)
	}
	p.table(doc)
	return p.err
}

// result writes a result: the lab's question, the verdict and what went wrong, then a
// line for each step and each check, and last the steps that were asked for in detail.
func (p *page) result(r verdict.Result, steps []verdict.Step) {
	p.heading(r)
	p.verdict(r)
	p.findings(r)
	p.steps(steps)
	p.lifetime(r)
	p.checks(r)
	p.answers(r)
	p.notes(r)
	p.details(r.Arch, steps)
}

// heading writes the lab's name, title and question.
func (p *page) heading(r verdict.Result) {
	p.line("%s  %s", p.title.Render(plain(r.Lab)), plain(r.Title))
	p.text("", 0, p.title, plain(r.Summary))
	p.gap()
}

// verdict writes the verdict and where the lab ran.
func (p *page) verdict(r verdict.Result) {
	mark := p.mark(r)
	var on []string
	for _, s := range []string{r.Arch, prefix("Linux ", r.Kernel), prefix("QEMU ", r.QEMU)} {
		if s != "" {
			on = append(on, plain(s))
		}
	}
	if r.Duration > 0 {
		on = append(on, guestTime(r.Duration))
	}
	if r.Attempts > 1 {
		on = append(on, fmt.Sprintf("%d attempts", r.Attempts))
	}
	p.text(mark, lipgloss.Width(mark)+2, lipgloss.NewStyle(), strings.Join(on, " · "))
	if r.Error != "" {
		p.text("", 2, lipgloss.NewStyle(), "Could not be graded, which is not the program's fault: "+plain(r.Error))
	}
	p.gap()
}

// mark returns a result's verdict and score: "PASS  14/14".
func (p *page) mark(r verdict.Result) string {
	word, style := "PASS", p.good
	switch r.Verdict {
	case verdict.Fail:
		word, style = "FAIL", p.bad
	case verdict.Error:
		word, style = "ERROR", p.warn
	}
	return fmt.Sprintf("%s  %d/%d", style.Render(word), r.Score, r.MaxScore)
}

// brief writes the verdict of a result in one line, which says how to see the rest, and
// what went wrong.
func (p *page) brief(r verdict.Result) {
	mark := p.mark(r)
	on := plain(r.Arch)
	if r.Kernel != "" {
		on += " · Linux " + plain(r.Kernel)
	}
	p.text(mark, lipgloss.Width(mark)+2, lipgloss.NewStyle(), on+": --arch "+plain(r.Arch)+" shows it")
	if r.Error != "" {
		p.text("", 2, lipgloss.NewStyle(), "Could not be graded, which is not the program's fault: "+plain(r.Error))
	}
	if len(r.Findings) > 0 {
		p.gap()
		p.findings(r)
	}
}

// findings writes what went wrong.
func (p *page) findings(r verdict.Result) {
	if len(r.Findings) == 0 {
		return
	}
	p.line("%s", p.title.Render("What went wrong"))
	for i, f := range r.Findings {
		at := ""
		if f.Step > 0 {
			at = fmt.Sprintf("at step %d: ", f.Step)
		}
		p.text(fmt.Sprintf("%3d.", i+1), stepIndent, lipgloss.NewStyle(), at+plain(f.Message))
		for _, l := range textLines(f) {
			p.line("%s%s", strings.Repeat(" ", stepIndent), p.value.Render(l))
		}
	}
	p.gap()
}

// lifetime writes the lifetime of the lab's tasks, one line per event.
func (p *page) lifetime(r verdict.Result) {
	if len(r.Lifetime) == 0 {
		return
	}
	p.line("%s", p.title.Render("Lifetime"))
	for _, l := range r.Lifetime {
		p.text("", 2, lipgloss.NewStyle(), plain(l))
	}
	p.gap()
}

func (p *page) notes(r verdict.Result) {
	for _, n := range r.Notes {
		p.text(p.warn.Render("  note"), 8, p.dim, plain(n))
	}
	if len(r.Notes) > 0 {
		p.gap()
	}
}

// guestTime returns the duration of a run by the guest's clock.
func guestTime(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms guest time", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s guest time", d.Seconds())
}

// table lists the verdicts of several results.
func (p *page) table(doc verdict.Document) {
	if len(doc.Results) == 0 {
		p.line("%s  nothing was graded", p.warn.Render("ERROR"))
	}
	if len(doc.Results) < 2 {
		return
	}
	widest := 0
	for _, r := range doc.Results {
		widest = max(widest, utf8.RuneCountInString(plain(r.Lab)))
	}
	p.gap()
	p.line("%s", p.title.Render("Results"))
	for _, r := range doc.Results {
		style := map[verdict.Verdict]lipgloss.Style{verdict.Pass: p.good, verdict.Fail: p.bad, verdict.Error: p.warn}[r.Verdict]
		p.line("  %s %s  %-8s %3d/%-3d  %s", style.Render(pad(string(r.Verdict), 5)), pad(plain(r.Lab), widest), plain(r.Arch), r.Score, r.MaxScore, plain(r.Kernel))
	}
}

func prefix(what, s string) string {
	if s == "" {
		return ""
	}
	return what + s
}
