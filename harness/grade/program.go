package grade

import (
	"fmt"
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

// ending says how the program ended.
func (g *grader) ending() string {
	x := g.exit.Exit
	switch {
	case x.Stops > 0:
		return fmt.Sprintf("stopped after it had come to the lab's points %d times", x.Stops)
	case x.TimedOut:
		limit := x.Limit
		if limit == 0 {
			limit = time.Duration(g.exit.Time)
		}
		return "did not end within " + roughly(limit)
	case x.Signal != "":
		return "killed by " + x.Signal
	}
	return fmt.Sprintf("exit status %d", x.Code)
}

func roughly(d time.Duration) string {
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func (g *grader) status(c *Check) {
	x, name := g.exit.Exit, g.trace.Header.Program.Name
	c.Expected = fmt.Sprintf("exit status %d", g.rules.Exit)
	if g.rules.Signal != "" {
		c.Expected = "killed by " + g.rules.Signal
	}
	c.Observed = g.ending()
	settle(c, c.Observed == c.Expected)
	switch {
	case c.Verdict == Pass:
	case x.Stops > 0:
		g.find(g.exit.Seq, FindTimeout, "", "%s was %s: something in it goes on and on", name, g.ending())
	case x.TimedOut:
		g.find(g.exit.Seq, FindTimeout, "", "%s %s, and was stopped: something in it waits for what never comes, or never stops", name, g.ending())
	case x.Signal != "" && g.rules.Signal == "":
		g.find(g.exit.Seq, FindSignal, "", "%s was %s instead of ending with %s", name, g.ending(), c.Expected)
	case g.rules.Signal != "":
		g.find(g.exit.Seq, FindSignal, "", "%s was to be %s, seen: %s", name, c.Expected, g.ending())
	default:
		g.find(g.exit.Seq, FindExit, "", "%s ended with %s: expected %d", name, g.ending(), g.rules.Exit)
	}
	if x.Leftover > 0 {
		g.result.Notes = append(g.result.Notes, fmt.Sprintf("%s left %s behind when it ended.", name, plural(x.Leftover, "process", "processes")))
	}
	if x.Dropped > 0 {
		g.result.Notes = append(g.result.Notes, fmt.Sprintf("%s printed more than is kept: %s are lost.", name, plural(int(x.Dropped), "byte", "bytes")))
	}
}

// printed says the first of what the program printed.
func (g *grader) printed() string {
	got := lines(g.exit.Exit.Output)
	got = slices.DeleteFunc(got, func(l string) bool { return l == "" })
	if len(got) == 0 {
		return ", and no output"
	}
	const most = 3
	var quoted []string
	for _, l := range got[:min(most, len(got))] {
		quoted = append(quoted, fmt.Sprintf("%q", clip(l, 60)))
	}
	if n := len(got) - most; n > 0 {
		quoted = append(quoted, plural(n, "line", "lines")+" more")
	}
	return ", after printing " + strings.Join(quoted, ", ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (g *grader) output(c *Check) {
	want := g.rules.Output
	got := lines(g.exit.Exit.Output)
	var missing []string
	for _, w := range want {
		if !slices.Contains(got, clean(w)) {
			missing = append(missing, clean(w))
		}
	}
	for _, p := range g.rules.Patterns {
		line, ok := matching(got, p)
		if !ok {
			line = "a line that matches " + p
			missing = append(missing, line)
		}
		want = append(slices.Clone(want), line)
	}
	switch len(want) {
	case 0:
		c.Expected = "anything"
	case 1:
		c.Expected = fmt.Sprintf("the line %q", want[0])
	default:
		c.Expected = fmt.Sprintf("%d lines, in any order", len(want))
	}
	c.Observed = c.Expected
	if len(missing) > 0 {
		c.Observed = fmt.Sprintf("%d of %d", len(want)-len(missing), len(want))
		if len(got) == 0 {
			c.Observed = "no output"
		}
	}
	c.Lines = mark(got, want, missing)
	settle(c, len(missing) == 0)
	if len(missing) == 0 {
		return
	}
	var quoted, near []string
	for _, m := range missing {
		quoted = append(quoted, fmt.Sprintf("%q", clip(m, maxLineBytes)))
		if i := slices.IndexFunc(got, func(l string) bool { return almost(l, m) }); i >= 0 {
			near = append(near, fmt.Sprintf("%q", clip(got[i], maxLineBytes)))
		}
	}
	seen := ""
	switch {
	case len(near) > 0:
		seen = ": seen " + strings.Join(near, ", ")
	case len(got) == 0:
		seen = ", nor anything else"
	}
	g.find(g.exit.Seq, FindOutput, "", "%s did not print %s%s", g.trace.Header.Program.Name, strings.Join(quoted, ", "), seen)
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

// mark marks the lines of output, with some context, and adds the missing ones.
func mark(got, want, missing []string) []OutputLine {
	marks := make([]Mark, len(got))
	for i, l := range got {
		switch {
		case slices.ContainsFunc(want, func(w string) bool { return clean(w) == l }):
			marks[i] = Good
		case slices.ContainsFunc(missing, func(m string) bool { return almost(l, m) }):
			marks[i] = Bad
		}
	}
	if len(missing) > 0 {
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
