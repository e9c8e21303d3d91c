package grade

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"kernellab/internal/nearest"
)

const (
	contextLines = 2   // shown before and after a marked line, as gradelib does
	maxLines     = 60  // of output shown in a check
	maxLineBytes = 240 // of a line of output shown
)

// ending is how the program ended.
func (g *grader) ending() *Ending {
	x := g.exit.Exit
	switch {
	case x.Stops > 0:
		return &Ending{Stops: x.Stops}
	case x.TimedOut:
		limit := x.Limit
		if limit == 0 {
			limit = time.Duration(g.exit.Time)
		}
		return &Ending{TimedOut: true, Limit: limit}
	case x.Signal != "":
		return &Ending{Signal: x.Signal}
	}
	return &Ending{Code: x.Code}
}

func (g *grader) status() {
	if g.rules.AnswersOnly {
		return
	}
	c := g.on(checkExit)
	x, got, want := g.exit.Exit, g.ending(), &Ending{Code: g.rules.Exit}
	if g.rules.Signal != "" {
		want = &Ending{Signal: g.rules.Signal}
	}
	c.Want, c.Got = &Fact{Case: CaseEnded, End: want}, &Fact{Case: CaseEnded, End: got}
	settle(c, *got == *want)
	if c.Verdict != Pass {
		kind := FindExit
		switch {
		case x.Stops > 0 || x.TimedOut:
			kind = FindTimeout
		case x.Signal != "" || g.rules.Signal != "":
			kind = FindSignal
		}
		g.find(g.exit.Seq, kind, Fact{Case: CaseEnding, Program: g.program(), End: got, Want: want})
	}
	if x.Leftover > 0 {
		g.result.remark(Fact{Case: NoteLeft, Program: g.program(), Times: x.Leftover})
	}
	if x.Dropped > 0 {
		g.result.remark(Fact{Case: NoteLost, Program: g.program(), Times: int(x.Dropped)})
	}
}

// printed is the first of what the program printed.
func (g *grader) printed() *OutputFact {
	const most = 3
	got := slices.DeleteFunc(lines(g.exit.Exit.Output), func(l string) bool { return l == "" })
	out := &OutputFact{Silent: len(got) == 0, More: max(0, len(got)-most)}
	for _, l := range got[:min(most, len(got))] {
		out.Lines = append(out.Lines, clip(l, 60))
	}
	return out
}

func (g *grader) output() {
	if g.rules.AnswersOnly {
		return
	}
	c := g.on(checkOutput)
	want := g.rules.Output
	got := lines(g.exit.Exit.Output)
	var missing, patterns []string
	for _, w := range want {
		if !slices.Contains(got, clean(w)) {
			missing = append(missing, clean(w))
		}
	}
	total := len(want) + len(g.rules.Patterns)
	for _, p := range g.rules.Patterns {
		if line, ok := matching(got, p); ok {
			want = append(slices.Clone(want), line)
		} else {
			patterns = append(patterns, p)
		}
	}
	found := total - len(missing) - len(patterns)
	c.Want = &Fact{Case: CaseLines, Output: &OutputFact{Wanted: total, Found: total}}
	if total == 1 {
		c.Want.Output.Lines, c.Want.Output.Pattern = want, patterns
	}
	c.Lines = mark(got, want, missing, patterns)
	settle(c, found == total)
	if found == total {
		c.Got = c.Want
		return
	}
	c.Got = &Fact{Case: CaseLines, Output: &OutputFact{Wanted: total, Found: found, Silent: len(got) == 0}}
	f := Fact{Case: CaseOutput, Program: g.program(), Output: &OutputFact{Wanted: total, Found: found, Pattern: patterns, Silent: len(got) == 0}}
	for _, m := range missing {
		f.Output.Lines = append(f.Output.Lines, clip(m, maxLineBytes))
		if i := slices.IndexFunc(got, func(l string) bool { return almost(l, m) }); i >= 0 {
			f.Output.Near = append(f.Output.Near, clip(got[i], maxLineBytes))
		}
	}
	g.find(g.exit.Seq, FindOutput, f)
}

// matching returns the first line that a pattern matches as a whole.
func matching(lines []string, pattern string) (string, bool) {
	re, err := regexp.Compile("^(?:" + pattern + ")$")
	if err != nil {
		return "", false // Validate refuses it
	}
	i := slices.IndexFunc(lines, re.MatchString)
	if i < 0 {
		return "", false
	}
	return lines[i], true
}

// lines splits output into lines as they are compared.
func lines(output string) []string {
	if output == "" {
		return nil
	}
	ls := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
	for i, l := range ls {
		ls[i] = clean(l)
	}
	return ls
}

func clean(line string) string { return strings.TrimRight(line, " \t\r") }

// mark marks the lines of output, with some context, and adds the missing ones; of
// those that a pattern describes the pattern.
func mark(got, want, missing, patterns []string) []OutputLine {
	marks := make([]Mark, len(got))
	for i, l := range got {
		switch {
		case slices.ContainsFunc(want, func(w string) bool { return clean(w) == l }):
			marks[i] = Good
		case slices.ContainsFunc(missing, func(m string) bool { return almost(l, m) }):
			marks[i] = Bad
		}
	}
	if len(missing)+len(patterns) > 0 {
		for i := range marks {
			near := i >= len(marks)-contextLines // how it ended always matters
			for j := max(0, i-contextLines); j <= min(len(marks)-1, i+contextLines); j++ {
				near = near || marks[j] == Good || marks[j] == Bad
			}
			if marks[i] == "" && near {
				marks[i] = Context
			}
		}
	}
	var out []OutputLine
	for i, l := range got {
		if marks[i] != "" && len(out) < maxLines {
			out = append(out, OutputLine{marks[i], clip(l, maxLineBytes)})
		}
	}
	for _, m := range missing {
		out = append(out, OutputLine{Missing, clip(m, maxLineBytes)})
	}
	for _, p := range patterns {
		out = append(out, OutputLine{Missing, clip("a line that matches "+p, maxLineBytes)})
	}
	return out
}

// almost reports whether a line is another but for case, spaces and punctuation,
// or differs from it in few letters.
func almost(line, want string) bool {
	l, w := letters(line), letters(want)
	return l != "" && w != "" && (l == w || nearest.Distance(l, w) <= len(w)/6)
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}
