package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/verdict"
)

// checks writes what was graded in the run.
func (p *page) checks(r verdict.Result) {
	checks := slices.DeleteFunc(slices.Clone(r.Checks), func(c verdict.Check) bool { return c.Kind == verdict.KindQuestion })
	if r.Error != "" && r.Score == 0 || len(checks) == 0 {
		return
	}
	p.line("%s", p.title.Render("Graded"))
	if why, score := noneMade(checks); why != "" {
		p.text("", 2, lipgloss.NewStyle(), fmt.Sprintf("– none of the %d checks was made, 0/%d: %s", len(checks), score, plain(why)))
		checks = nil
	}
	for _, c := range checks {
		group := func(g verdict.Check) bool { return g.Kind == verdict.KindGroup && g.Name == c.Group }
		if c.Group != "" && slices.ContainsFunc(checks, group) {
			continue // comes below its group
		}
		p.check(c, 2)
		for _, m := range checks {
			if c.Kind == verdict.KindGroup && m.Group == c.Name && (m.Verdict != verdict.Pass || p.verbose) {
				p.check(m, 4)
			}
		}
	}
	p.gap()
}

// check writes a check in lines that are indented. One that passes is a line, with what
// was seen if there is room and it is more than a number. One that does not pass is
// followed by the details.
func (p *page) check(c verdict.Check, indent int) {
	if c.Verdict == verdict.Pass && !p.verbose {
		value := plain(c.Observed)
		if _, err := strconv.Atoi(value); err == nil || c.Got != nil && c.Got.Case == verdict.CaseHolds {
			value = ""
		}
		p.scored(c, value, indent)
		return
	}
	p.scored(c, "", indent)
	switch {
	case c.Kind == verdict.KindGroup && c.Verdict == verdict.Fail: // its members say it
	case c.Verdict != verdict.Pass:
		if c.Expected != "" {
			p.text("      expected", 16, lipgloss.NewStyle(), plain(c.Expected))
		}
		p.text("      observed", 16, lipgloss.NewStyle(), plain(c.Observed))
	case len(c.Lines) > 0:
	case c.Expected == c.Observed:
		p.text("", 6, p.value, plain("expected and observed "+c.Observed))
	default:
		p.text("", 6, p.value, plain("observed "+c.Observed))
	}
	for _, l := range c.Lines {
		style := map[verdict.Mark]lipgloss.Style{
			verdict.Good: p.good, verdict.Bad: p.bad, verdict.Missing: p.bad, verdict.Context: p.dim,
		}[l.Mark]
		mark := style.Render(pad(label(l.Mark), 8))
		for _, part := range chunks(plain(l.Text), p.width-15) {
			p.line("      %s %s", mark, part)
			mark = pad("", 8)
		}
	}
	if c.Verdict == verdict.Pass {
		p.text("", 6, p.dim, plain(c.Why))
	} else if c.Why != "" {
		p.text("      why", 16, p.dim, plain(c.Why))
	}
}

// scored writes the mark, name and score of a check, and a value if the line has room.
func (p *page) scored(c verdict.Check, value string, indent int) {
	mark := map[verdict.Verdict]string{
		verdict.Pass: p.good.Render("✓"), verdict.Fail: p.bad.Render("✗"), verdict.Skip: p.warn.Render("–"),
	}[c.Verdict]
	score := scoreOf(c)
	room := p.width - indent - 2 - len(score) - 2
	name := wrap(plain(c.Name), room)
	if len(name) == 0 {
		name = []string{""}
	}
	gap := room - utf8.RuneCountInString(name[0]) - utf8.RuneCountInString(value)
	if len(name) > 1 || gap < 2 {
		value, gap = "", room-utf8.RuneCountInString(name[0])
	}
	p.line("%s%s %s%s%s  %s", strings.Repeat(" ", indent), mark, name[0], strings.Repeat(" ", max(gap, 0)), p.value.Render(value), score)
	for _, l := range name[1:] {
		p.line("%s%s", strings.Repeat(" ", indent+2), l)
	}
}
