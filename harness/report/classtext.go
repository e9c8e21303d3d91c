package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// classText writes the summary for a terminal or a log.
func classText(w io.Writer, s ClassSummary, style Style) error {
	p := newPage(w, style)
	p.line("%s  %s", p.title.Render(plain(s.Lab)), s.headline())
	if s.Scores != nil {
		p.line("")
		p.line("Score  mean %.1f  median %.1f  from %d to %d, of %d", s.Scores.Mean, s.Scores.Median, s.Scores.Min, s.Scores.Max, s.MaxScore)
		most := 0
		for _, b := range s.Distribution {
			most = max(most, b.Students)
		}
		const bar = 40
		for _, b := range slices.Backward(s.Distribution) {
			n := (b.Students*bar + most - 1) / max(most, 1)
			p.line("  %3d–%3d %%  %s %s", b.From, b.To, p.value.Render(strings.Repeat("█", n)), p.dim.Render(fmt.Sprint(b.Students)))
		}
	}
	p.questions(s)
	p.hardest(s)
	p.list("First divergences, by number of students", len(s.Findings), func(i int) string {
		f := s.Findings[i]
		return fmt.Sprintf("%d× %s", len(f.Students), f.Message)
	})
	p.list("Not graded: these have no mark", len(s.Ungraded), func(i int) string {
		return plain(s.Ungraded[i].Student) + ": " + s.Ungraded[i].Error
	})
	p.list("Check this before you publish marks", len(s.Suspects), func(i int) string {
		f := s.Suspects[i]
		return f.Message + among(f.Students)
	})
	return p.err
}

// headline returns the numbers of submissions by verdict.
func (s ClassSummary) headline() string {
	text := fmt.Sprintf("%s: %d passed, %d failed", plural(s.Students, "submission"), s.Passed, s.Failed)
	if s.NotGraded > 0 {
		text += fmt.Sprintf(", %d not graded", s.NotGraded)
	}
	return text
}

// listed limits the entries of each list in a summary.
const listed = 8

func among(students []string) string {
	if len(students) == 0 {
		return ""
	}
	text := strings.Join(students[:min(len(students), listed)], ", ")
	if more := len(students) - listed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return " (" + text + ")"
}

func (p *page) list(heading string, n int, item func(i int) string) {
	if n == 0 {
		return
	}
	p.line("")
	p.line("%s", p.title.Render(heading))
	for i := range min(n, listed) {
		p.text("  -", 4, lipgloss.NewStyle(), item(i))
	}
	if n > listed {
		p.line("  … and %d more in summary.json", n-listed)
	}
}

// taught returns the questions that some students do not answer rightly.
func (s ClassSummary) taught() []QuestionRate {
	return slices.DeleteFunc(slices.Clone(s.Questions), func(q QuestionRate) bool { return q.Graded > 0 && q.Right == q.Graded })
}

// questions lists the questions that some students do not answer rightly, with what they
// answered.
func (p *page) questions(s ClassSummary) {
	hard := s.taught()
	if len(hard) == 0 {
		return
	}
	p.line("")
	p.line("%s", p.title.Render("Questions, what most needs teaching first"))
	for _, q := range hard[:min(len(hard), listed)] {
		p.text("  -", 4, lipgloss.NewStyle(), q.headline())
		p.text("   ", 4, p.dim, q.Prompt)
		for _, line := range q.told() {
			p.text("     ", 6, lipgloss.NewStyle(), line)
		}
	}
	if more := len(hard) - listed; more > 0 {
		p.line("  … and %d more in summary.json", more)
	}
}

// isQuestion reports whether a name is that of a question.
func (s ClassSummary) isQuestion(name string) bool {
	return slices.ContainsFunc(s.Questions, func(q QuestionRate) bool { return q.Name == name })
}

// hardest lists the checks that some students fail.
func (p *page) hardest(s ClassSummary) {
	var hard []CheckRate
	for _, r := range s.Checks {
		if r.Graded > 0 && r.Passed < r.Graded && !s.isQuestion(r.Name) {
			hard = append(hard, r)
		}
	}
	archs := map[string]bool{}
	for _, r := range s.Checks {
		archs[r.Arch] = true
	}
	p.list("Hardest", len(hard), func(i int) string {
		r := hard[i]
		name := column{arch: r.Arch, name: r.Name}.title(len(archs) > 1)
		return fmt.Sprintf("%5.1f %% pass  %s", r.Percent, name)
	})
}

// classMarkdown writes the summary for a CI job's page.
func classMarkdown(w io.Writer, s ClassSummary) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n", markdown(s.Lab), markdown(s.headline()))
	if s.Scores != nil {
		fmt.Fprintf(&b, "\nScore: mean %.1f, median %.1f, from %d to %d, of %d.\n\n| Score | Submissions |\n|---|---|\n", s.Scores.Mean, s.Scores.Median, s.Scores.Min, s.Scores.Max, s.MaxScore)
		for _, bucket := range slices.Backward(s.Distribution) {
			fmt.Fprintf(&b, "| %d–%d %% | %d |\n", bucket.From, bucket.To, bucket.Students)
		}
	}
	section(&b, "Questions, what most needs teaching first", func(item func(string)) {
		hard := s.taught()
		for _, q := range hard[:min(len(hard), listed)] {
			text := "**" + markdown(q.headline()) + "**<br>" + markdown(q.Prompt)
			for _, line := range q.told() {
				text += "<br>" + markdown(line)
			}
			item(text)
		}
	})
	section(&b, "Hardest", func(item func(string)) {
		for _, r := range s.Checks[:min(listed, len(s.Checks))] {
			if r.Graded > 0 && r.Passed < r.Graded && !s.isQuestion(r.Name) {
				item(markdown(fmt.Sprintf("%.1f %% pass %s (%s)", r.Percent, r.Name, or(r.Arch))))
			}
		}
	})
	section(&b, "First divergences", func(item func(string)) {
		for _, f := range s.Findings[:min(listed, len(s.Findings))] {
			item(markdown(fmt.Sprintf("%d× %s", len(f.Students), f.Message)))
		}
	})
	section(&b, "Not graded: these have no mark", func(item func(string)) {
		for _, u := range s.Ungraded {
			item(markdown(u.Student + ": " + u.Error))
		}
	})
	section(&b, "Check this before you publish marks", func(item func(string)) {
		for _, f := range s.Suspects {
			item(markdown(f.Message + among(f.Students)))
		}
	})
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write markdown: %w", err)
	}
	return nil
}
