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

// Feedback tells a student in GitHub's Markdown how a submission did: where it
// first went another way than the kernel's, told as a story, then the questions,
// the checks and the path that was taken. It says no more than the document does,
// so an answer that the lab keeps to itself is not in it, leaves out what students
// do not see, or not yet, and shows no value read on the way. Of the rules it takes what the points mean.
//
// What a program printed or called itself, and what a student wrote, shows as it
// is: it formats nothing, links to nothing and mentions nobody.
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

// story tells the first divergence, and then in short what else does not hold.
func (f *feedback) story(r verdict.Result) {
	findings := slices.DeleteFunc(slices.Clone(r.Findings), ofAnswers)
	if len(findings) == 0 {
		return
	}
	// How a program ended that never did what the lab is about says little.
	never := func(x verdict.Finding) bool { return x.Kind == verdict.FindNeverCalled }
	if i := slices.IndexFunc(findings, never); i > 0 && findings[0].Kind == verdict.FindExit {
		findings[0], findings[i] = findings[i], findings[0]
	}
	first := findings[0]
	f.line("### What happened")
	switch first.Kind {
	case verdict.FindSubmission:
		f.line("Something is wrong with what you handed in: %s", sentence(first.Message))
	case verdict.FindCompile:
		f.line("Your program did not run. %s", sentence(first.Message))
	default:
		f.divergence(r, first)
	}
	f.block(first.Text)
	if rest := findings[1:]; len(rest) > 0 {
		f.line("%s", map[bool]string{true: "Also:", false: "What else was seen, which may follow from that:"}[first.Kind == verdict.FindSubmission])
		for _, x := range rest {
			f.item("%s", safe(x.Message))
		}
		f.WriteByte('\n')
		for _, x := range rest {
			f.block(x.Text)
		}
	}
}

// answersPart is the part of a submission that the answers are; see
// submission.PartAnswers.
const answersPart = "answers"

// ofAnswers reports whether a finding is told with the answers.
func ofAnswers(x verdict.Finding) bool {
	return x.Kind == verdict.FindAnswer || x.Kind == verdict.FindSubmission && x.Part == answersPart
}

// divergence tells where the run first went another way: what held until then,
// what came, by which task, what that place is, and what to read.
func (f *feedback) divergence(r verdict.Result, x verdict.Finding) {
	at := x.Step
	switch {
	case at > 1:
		before := r.Steps[min(at, len(r.Steps))-2]
		f.line("All went as expected up to step %d, `%s`, by %s.", at-1, code(before.Point), who(before))
	case len(r.Steps) > 0 && at == 0:
		last := r.Steps[len(r.Steps)-1]
		f.line("The run came to %d steps. The last was `%s`, by %s.", len(r.Steps), code(last.Point), who(last))
	}
	f.line("%s", map[bool]string{true: "Then this went another way:", false: "The first thing that went another way:"}[at > 1])
	told := false
	for _, c := range r.Checks {
		if x.Kind == verdict.FindCheck && c.Kind == "" && c.Name == x.Check {
			f.item("**What:** %s", safe(c.Name))
			f.item("**Expected:** %s", safe(c.Expected))
			f.item("**Seen:** %s", safe(c.Observed))
			if c.Why != "" {
				f.item("**Why it should be so:** %s", safe(c.Why))
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
	if means := f.means(x.Point); means != "" && x.Case != verdict.CaseBlocked { // which says it
		f.item("**`%s` is:** %s", code(x.Point), safe(means))
	}
	if known := x.Point != "" && x.Point != verdict.Unnamed && x.Point != verdict.Withheld; known {
		read := fmt.Sprintf("what the handout (`lab show %s`) says of `%s`", code(r.Lab), code(x.Point))
		if symbol != "" && symbol != x.Point {
			read += fmt.Sprintf(", which is `%s` in this kernel", code(symbol))
		}
		f.item("**Read:** %s", read)
	} else {
		f.item("**Read:** the handout (`lab show %s`), and what your program printed, below", code(r.Lab))
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

// questions tells which answers are right.
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
		fmt.Fprintf(f, "  <br>%s\n", strings.Join(answerLines(c, safe), "\n  <br>"))
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

// answerLines tell what became of an answer; show makes text safe.
func answerLines(c verdict.Check, show func(string) string) []string {
	said := c.Got != nil // why there is no answer
	line := "you answered: " + show(c.Observed)
	if said {
		line = show(c.Observed)
	}
	switch {
	case c.Verdict == verdict.Pass:
		line += ", which is right"
	case c.Verdict == verdict.Fail && !said:
		line += ", which is not right"
	}
	lines := []string{line}
	if c.Expected != "" && c.Verdict != verdict.Pass {
		lines = append(lines, "it is: "+show(c.Expected))
	}
	if c.Hint != "" {
		lines = append(lines, "hint: "+show(c.Hint))
	}
	if c.Read != "" {
		lines = append(lines, "read: "+show(c.Read))
	}
	return lines
}

// checks lists what was checked in the run; what holds is a line.
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
		f.item("%s %s (%d of %d)", mark, safe(c.Name), c.Score, c.MaxScore)
		if c.Verdict == verdict.Pass {
			continue
		}
		if c.Expected != "" {
			fmt.Fprintf(f, "  <br>expected: %s\n", safe(c.Expected))
		}
		fmt.Fprintf(f, "  <br>seen: %s\n", safe(c.Observed))
		if c.Why != "" {
			fmt.Fprintf(f, "  <br>why: %s\n", safe(c.Why))
		}
	}
	if len(skipped) > 0 {
		f.item("➖ could not be checked, as the run did not come that far (0 of %d): %s", lost, strings.Join(skipped, "; "))
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

// maxPath bounds the steps that are listed.
const maxPath = 40

func (f *feedback) path(r verdict.Result) {
	if len(r.Steps) == 0 {
		return
	}
	f.line("### The path it took")
	if len(r.Ordered) > 0 {
		f.line("It is shown when this is answered rightly: %s.", safe(strings.Join(r.Ordered, ", ")))
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

// who is the task at a step.
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

// block shows lines as they are.
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

// code makes a word safe between backquotes.
func code(s string) string { return strings.ReplaceAll(plain(s), "`", "'") }

// links are what GitHub's Markdown makes links, formulas or lists of by itself. A
// word joiner takes their meaning away.
var links = strings.NewReplacer("://", ":\u2060//", "www.", "www\u2060.", "$", "\u2060$\u2060")

// safe makes a text of anybody's show as it is, on one line of bounded length.
func safe(s string) string {
	const most = 600
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return links.Replace(markdown(s))
}

// sentence is a text that ends like one.
func sentence(s string) string {
	s = safe(s)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
