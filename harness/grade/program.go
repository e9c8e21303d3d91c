package grade

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

const (
	contextLines = 2   // shown before and after a marked line, as gradelib does
	maxLines     = 60  // of output shown in a check
	maxLineBytes = 240 // of a line of output shown
)

// ending is how the program ended.
func (g *grader) ending() *verdict.Ending {
	x := g.exit.Exit
	switch {
	case x.Stops > 0:
		return &verdict.Ending{Stops: x.Stops}
	case x.TimedOut:
		limit := x.Limit
		if limit == 0 {
			limit = time.Duration(g.exit.Time)
		}
		return &verdict.Ending{TimedOut: true, Limit: limit}
	case x.Panic != "":
		return &verdict.Ending{Panic: x.Panic}
	case x.Signal != "":
		return &verdict.Ending{Signal: x.Signal}
	}
	return &verdict.Ending{Code: x.Code}
}

func (g *grader) status() {
	if g.rules.AnswersOnly {
		return
	}
	c := g.on(checkExit)
	x, got, want := g.exit.Exit, g.ending(), &verdict.Ending{Code: g.rules.Exit}
	if g.rules.Signal != "" {
		want = &verdict.Ending{Signal: g.rules.Signal}
	}
	is := *got
	if g.rules.Panic != "" {
		want = &verdict.Ending{Panic: g.rules.Panic}
		if strings.HasPrefix(is.Panic, want.Panic) {
			is.Panic = want.Panic
		}
	}
	c.Want, c.Got = &verdict.Fact{Case: verdict.CaseEnded, End: want}, &verdict.Fact{Case: verdict.CaseEnded, End: got}
	settle(c, is == *want)
	if c.Verdict != verdict.Pass {
		kind := verdict.FindExit
		switch {
		case x.Stops > 0 || x.TimedOut:
			kind = verdict.FindTimeout
		case x.Signal != "" || g.rules.Signal != "":
			kind = verdict.FindSignal
		}
		g.find(g.exit.Seq, kind, verdict.Fact{Case: verdict.CaseEnding, Program: g.program(), End: got, Want: want})
	}
	if x.Leftover > 0 {
		g.result.Remark(verdict.Fact{Case: verdict.NoteLeft, Program: g.program(), Times: x.Leftover})
	}
	if x.Dropped > 0 {
		g.result.Remark(verdict.Fact{Case: verdict.NoteLost, Program: g.program(), Times: int(x.Dropped)})
	}
}

// printed is the first of what the program printed.
func (g *grader) printed() *verdict.OutputFact {
	const most = 3
	got := slices.DeleteFunc(lines(g.exit.Exit.Output), func(l string) bool { return l == "" })
	out := &verdict.OutputFact{Silent: len(got) == 0, More: max(0, len(got)-most)}
	for _, l := range got[:min(most, len(got))] {
		out.Lines = append(out.Lines, clip(l, 60))
	}
	return out
}

func (g *grader) output() {
	if g.rules.AnswersOnly {
		return
	}
	c := g.on(g.rules.output())
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
	order, early := g.printedAfter(got)
	c.Want = &verdict.Fact{Case: verdict.CaseLines, Output: &verdict.OutputFact{Wanted: total, Found: total, After: order}}
	if total == 1 {
		c.Want.Output.Lines, c.Want.Output.Pattern = want, patterns
	}
	c.Lines = mark(got, want, missing, patterns)
	settle(c, found == total && len(early) == 0)
	if c.Verdict == verdict.Pass {
		c.Got = c.Want
		return
	}
	c.Got = &verdict.Fact{Case: verdict.CaseLines, Output: &verdict.OutputFact{Wanted: total, Found: found, Early: early, Silent: len(got) == 0}}
	f := verdict.Fact{Case: verdict.CaseOutput, Program: g.program(), Output: &verdict.OutputFact{Wanted: total, Found: found, Early: early, Pattern: patterns, Silent: len(got) == 0}}
	for _, m := range missing {
		f.Output.Lines = append(f.Output.Lines, clip(m, maxLineBytes))
		if i := slices.IndexFunc(got, func(l string) bool { return almost(l, m) }); i >= 0 {
			f.Output.Near = append(f.Output.Near, clip(got[i], maxLineBytes))
		}
	}
	g.find(g.exit.Seq, verdict.FindOutput, f)
}

// printedAfter returns which lines have to come after another, and those that came
// before it.
func (g *grader) printedAfter(got []string) (order, early []verdict.After) {
	for _, line := range slices.Sorted(maps.Keys(g.rules.Before)) {
		a := verdict.After{Line: clean(line), After: clean(g.rules.Before[line])}
		order = append(order, a)
		i, j := slices.Index(got, a.Line), slices.Index(got, a.After)
		if i >= 0 && i < j {
			early = append(early, a)
		}
	}
	return order, early
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
func mark(got, want, missing, patterns []string) []verdict.OutputLine {
	marks := make([]verdict.Mark, len(got))
	for i, l := range got {
		switch {
		case slices.ContainsFunc(want, func(w string) bool { return clean(w) == l }):
			marks[i] = verdict.Good
		case slices.ContainsFunc(missing, func(m string) bool { return almost(l, m) }):
			marks[i] = verdict.Bad
		}
	}
	if len(missing)+len(patterns) > 0 {
		for i := range marks {
			near := i >= len(marks)-contextLines // how it ended always matters
			for j := max(0, i-contextLines); j <= min(len(marks)-1, i+contextLines); j++ {
				near = near || marks[j] == verdict.Good || marks[j] == verdict.Bad
			}
			if marks[i] == "" && near {
				marks[i] = verdict.Context
			}
		}
	}
	var out []verdict.OutputLine
	for i, l := range got {
		if marks[i] != "" && len(out) < maxLines {
			out = append(out, verdict.OutputLine{Mark: marks[i], Text: clip(l, maxLineBytes)})
		}
	}
	for _, m := range missing {
		out = append(out, verdict.OutputLine{Mark: verdict.Missing, Text: clip(m, maxLineBytes)})
	}
	for _, p := range patterns {
		out = append(out, verdict.OutputLine{Mark: verdict.Missing, Text: clip("a line that matches "+p, maxLineBytes)})
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
