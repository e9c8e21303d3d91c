package report

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// answers writes the results of the questions. An answer that is right is a line.
func (p *page) answers(r verdict.Result) {
	asked := false
	for _, c := range r.Checks {
		if c.Kind != verdict.KindQuestion || r.Verdict == verdict.Error {
			continue
		}
		if !asked {
			p.line("%s", p.title.Render("Answers"))
		}
		asked = true
		if c.Verdict == verdict.Pass && !p.verbose {
			p.scored(c, plain(c.Observed), 2)
			continue
		}
		p.scored(c, "", 2)
		p.text("", 6, p.dim, plain(c.Prompt))
		for _, l := range words.Answer(c, plain) {
			p.text("", 6, lipgloss.NewStyle(), l)
		}
	}
	if asked {
		p.gap()
	}
}

// noneMade returns why no check was made, if the reason is the same for all of them,
// and their maximum score.
func noneMade(checks []verdict.Check) (why string, score int) {
	for _, c := range checks {
		if c.Verdict != verdict.Skip || c.Got == nil || !reflect.DeepEqual(c.Got, checks[0].Got) {
			return "", 0
		}
		why, score = c.Observed, score+c.MaxScore
	}
	return why, score
}

// maxText limits the lines of another program's output in a finding.
const maxText = 30

// textLines returns the lines of a finding's Text.
func textLines(f verdict.Finding) []string {
	if f.Text == "" {
		return nil
	}
	lines := strings.Split(strings.TrimRight(f.Text, "\n"), "\n")
	if n := len(lines); n > maxText {
		lines = append(lines[:maxText:maxText], fmt.Sprintf("… and %d lines more", n-maxText))
	}
	for i, l := range lines {
		lines[i] = plain(l)
	}
	return lines
}
