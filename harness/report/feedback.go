package report

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// Feedback returns the result of a submission for the student, in GitHub's Markdown:
// the first divergence, then the questions, the checks and the steps of the run. It
// contains only what students may see now, and no values that were read at the steps.
// It takes the meanings of points from the rules.
//
// Text from a program or a student is escaped, so that it cannot format, link or
// mention.
func Feedback(doc verdict.Document, rules grade.Rules) string {
	doc = words.Document(redact.Shown(doc, verdict.Visible))
	f := &feedback{rules: rules}
	if len(doc.Results) == 0 {
		return "# Feedback\n\nNothing was graded. Tell your instructor.\n"
	}
	first := doc.Results[0]
	f.line("# %s", join(": ", safe(first.Lab), safe(first.Title)))
	for _, r := range doc.Results {
		f.result(r, len(doc.Results) > 1)
	}
	return f.String()
}

type feedback struct {
	strings.Builder
	rules grade.Rules
}

// line writes a paragraph.
func (f *feedback) line(format string, args ...any) {
	fmt.Fprintf(f, format+"\n\n", args...)
}

func (f *feedback) item(format string, args ...any) {
	fmt.Fprintf(f, "- "+format+"\n", args...)
}

func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

func (f *feedback) result(r verdict.Result, several bool) {
	on := join(", ", safe(r.Arch), safe(prefix("Linux ", r.Kernel)))
	if several {
		f.line("## On %s", on)
	}
	switch {
	case r.Verdict != verdict.Error && len(r.Checks) == 0:
		f.line("**Graded.** Ran on %s.", on)
	case r.Verdict == verdict.Pass:
		f.line("**Passed: %d of %d points.** Ran on %s.", r.Score, r.MaxScore, on)
	case r.Verdict == verdict.Fail:
		f.line("**%d of %d points.** Ran on %s.", r.Score, r.MaxScore, on)
	default:
		f.line("**Not graded, which is not your mistake.** %s Tell your instructor.", sentence(r.Error))
		return
	}
	f.story(r)
	f.questions(r)
	f.checks(r)
	f.path(r)
	if len(r.Notes) > 0 {
		f.line("**Notes**")
		for _, n := range r.Notes {
			f.item("%s", safe(n))
		}
		f.WriteByte('\n')
	}
}

// story writes the first finding in detail, and the others in one line each.
func (f *feedback) story(r verdict.Result) {
	findings := slices.DeleteFunc(slices.Clone(r.Findings), ofAnswers)
	if len(findings) == 0 {
		return
	}
	// If the program never made the lab's call, that matters more than how it ended.
	never := func(x verdict.Finding) bool { return x.Kind == verdict.FindNeverCalled }
	if i := slices.IndexFunc(findings, never); i > 0 && findings[0].Kind == verdict.FindExit {
		findings[0], findings[i] = findings[i], findings[0]
	}
	first := findings[0]
	f.line("### What happened")
	switch first.Kind {
	case verdict.FindSubmission:
		f.line("There is a problem with your submission: %s", sentence(first.Message))
	case verdict.FindCompile:
		f.line("Your program did not run. %s", sentence(first.Message))
	case verdict.FindMachine:
		f.line("The run of your program did not end. %s", sentence(first.Message))
	default:
		f.divergence(r, first)
	}
	f.block(first.Text)
	if rest := findings[1:]; len(rest) > 0 {
		f.line("%s", map[bool]string{true: "Also:", false: "Other findings, which may be consequences:"}[first.Kind == verdict.FindSubmission])
		for _, x := range rest {
			f.item("%s", safe(x.Message))
		}
		f.WriteByte('\n')
		for _, x := range rest {
			f.block(x.Text)
		}
	}
}

// answersPart is submission.PartAnswers.
const answersPart = "answers"

// ofAnswers reports whether a finding is about the answers.
func ofAnswers(x verdict.Finding) bool {
	return x.Kind == verdict.FindAnswer || x.Kind == verdict.FindSubmission && x.Part == answersPart
}

// divergence writes the first divergence: the last expected step, the difference, the
// task, the meaning of the point, and what to read.
func (f *feedback) divergence(r verdict.Result, x verdict.Finding) {
	at := x.Step
	switch {
	case at > 1:
		before := r.Steps[min(at, len(r.Steps))-2]
		f.line("The run was as expected up to step %d, `%s`, by %s.", at-1, code(before.Point), who(before))
	case len(r.Steps) > 0 && at == 0:
		last := r.Steps[len(r.Steps)-1]
		f.line("The run had %d steps. The last was `%s`, by %s.", len(r.Steps), code(last.Point), who(last))
	}
	f.line("%s", map[bool]string{true: "Then this differed:", false: "The first difference:"}[at > 1])
	told := false
	for _, c := range r.Checks {
		if x.Kind == verdict.FindCheck && c.Kind == "" && c.Name == x.Check {
			f.item("**Check:** %s", safe(c.Name))
			f.item("**Expected:** %s", safe(c.Expected))
			f.item("**Observed:** %s", safe(c.Observed))
			if c.Why != "" {
				f.item("**Why:** %s", safe(c.Why))
			}
			told = true
			break
		}
	}
	if !told {
		f.item("%s", safe(x.Message))
	}
	symbol := ""
	if at > 0 && at <= len(r.Steps) {
		s := r.Steps[at-1]
		f.item("**By:** %s, at step %d, `%s`", who(s), at, code(s.Point))
		if s.Point == x.Point {
			symbol = s.Symbol
		}
	}
	if means := f.means(x.Point); means != "" && x.Case != verdict.CaseBlocked { // its message has the meaning
		f.item("**`%s` is:** %s", code(x.Point), safe(means))
	}
	if known := x.Point != "" && x.Point != verdict.Unnamed && x.Point != verdict.Withheld; known {
		read := fmt.Sprintf("what the handout (`lab show %s`) says about `%s`", code(r.Lab), code(x.Point))
		if symbol != "" && symbol != x.Point {
			read += fmt.Sprintf(", which is `%s` in this kernel", code(symbol))
		}
		f.item("**Read:** %s", read)
	} else {
		f.item("**Read:** the handout (`lab show %s`), and the output of your program, below", code(r.Lab))
	}
	f.WriteByte('\n')
}

func (f *feedback) means(point string) string {
	for _, p := range f.rules.Points {
		if p.Name == point {
			return p.Means
		}
	}
	return ""
}

// questions writes the results of the answers.
func (f *feedback) questions(r verdict.Result) {
	heading := false
	for _, c := range r.Checks {
		if c.Kind != verdict.KindQuestion {
			continue
		}
		if !heading {
			f.line("### Your answers")
		}
		heading = true
		mark := map[verdict.Verdict]string{verdict.Pass: "✅", verdict.Fail: "❌", verdict.Skip: "➖"}[c.Verdict]
		f.item("%s **%s** (%d of %d) %s", mark, safe(c.Name), c.Score, c.MaxScore, safe(c.Prompt))
		fmt.Fprintf(f, "  <br>%s\n", strings.Join(words.Answer(c, safe), "\n  <br>"))
	}
	for _, x := range r.Findings {
		if x.Kind == verdict.FindSubmission && ofAnswers(x) {
			if !heading {
				f.line("### Your answers")
			}
			heading = true
			f.item("⚠️ %s", safe(x.Message))
		}
	}
	if heading {
		f.WriteByte('\n')
	}
}

// checks lists the checks of the run. A passed check has one line.
func (f *feedback) checks(r verdict.Result) {
	checks := slices.DeleteFunc(slices.Clone(r.Checks), func(c verdict.Check) bool { return c.Kind == verdict.KindQuestion })
	if len(checks) == 0 {
		return
	}
	f.line("### Checks of the run")
	var skipped []string
	lost := 0
	for _, c := range checks {
		if c.Verdict == verdict.Skip {
			skipped, lost = append(skipped, safe(c.Name)), lost+c.MaxScore
			continue
		}
		mark := map[bool]string{true: "✅", false: "❌"}[c.Verdict == verdict.Pass]
		score := fmt.Sprintf(" (%d of %d)", c.Score, c.MaxScore)
		if c.Group != "" {
			score = ""
		}
		f.item("%s %s%s", mark, safe(c.Name), score)
		if c.Verdict == verdict.Pass {
			continue
		}
		if c.Expected != "" {
			fmt.Fprintf(f, "  <br>expected: %s\n", safe(c.Expected))
		}
		fmt.Fprintf(f, "  <br>observed: %s\n", safe(c.Observed))
		if c.Why != "" {
			fmt.Fprintf(f, "  <br>why: %s\n", safe(c.Why))
		}
	}
	if len(skipped) > 0 {
		f.item("➖ not checked, because the run ended before (0 of %d): %s", lost, strings.Join(skipped, "; "))
	}
	f.WriteByte('\n')
	for _, c := range checks {
		if len(c.Lines) == 0 || c.Verdict == verdict.Pass {
			continue
		}
		var lines []string
		for _, l := range c.Lines {
			lines = append(lines, fmt.Sprintf("%-8s %s", label(l.Mark), l.Text))
		}
		f.line("What your program printed:")
		f.block(strings.Join(lines, "\n"))
	}
}

// maxPath limits the steps that are listed.
const maxPath = 40

func (f *feedback) path(r verdict.Result) {
	if len(r.Steps) == 0 {
		return
	}
	f.line("### The steps of the run")
	if len(r.Ordered) > 0 {
		f.line("They are shown once you answer correctly: %s.", safe(strings.Join(r.Ordered, ", ")))
		return
	}
	for i, s := range r.Steps {
		if i == maxPath {
			fmt.Fprintf(f, "\n… and %d steps more.\n", len(r.Steps)-i)
			break
		}
		fmt.Fprintf(f, "%d. `%s` by %s\n", i+1, code(s.Point), who(s))
	}
	f.WriteByte('\n')
}

// who returns the role and name of the task at a step.
func who(s verdict.Step) string {
	task := fmt.Sprintf("%d[%s]", s.PID, s.Comm)
	if s.Comm == "" {
		task = fmt.Sprint(s.PID)
	}
	if s.Role == "" {
		return safe(task)
	}
	return safe("the " + s.Role + ", " + task)
}

// block writes lines of text as a code block.
func (f *feedback) block(text string) {
	const most, widest = 60, 300
	if strings.TrimSpace(text) == "" {
		return
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if n := len(lines); n > most {
		lines = append(lines[:most:most], fmt.Sprintf("… and %d lines more", n-most))
	}
	fence := "```"
	for i, l := range lines {
		if lines[i] = plain(l); len(lines[i]) > widest {
			lines[i] = strings.ToValidUTF8(lines[i][:widest], "") + "…"
		}
		for strings.Contains(lines[i], fence) {
			fence += "`"
		}
	}
	f.line("%stext\n%s\n%s", fence, strings.Join(lines, "\n"), fence)
}

// code escapes a word for use between backquotes.
func code(s string) string { return strings.ReplaceAll(plain(s), "`", "'") }

// links inserts word joiners into text that GitHub's Markdown would convert to links or
// formulas.
var links = strings.NewReplacer("://", ":\u2060//", "www.", "www\u2060.", "$", "\u2060$\u2060")

// safe escapes and shortens untrusted text, for one line.
func safe(s string) string {
	const most = 600
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return links.Replace(markdown(s))
}

// sentence is safe with a period at the end.
func sentence(s string) string {
	s = safe(s)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
