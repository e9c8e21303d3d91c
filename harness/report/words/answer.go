package words

import "kernellab/harness/verdict"

// Answer returns lines with the result of an answer. show escapes text.
func Answer(c verdict.Check, show func(string) string) []string {
	said := c.Got != nil // Observed says why there is no answer
	line := "you answered: " + show(c.Observed)
	if said {
		line = show(c.Observed)
	}
	switch {
	case c.Verdict == verdict.Pass:
		line += ", which is correct"
	case c.Verdict == verdict.Fail && !said && c.Score > 0:
		counts := map[string]string{verdict.TypeOrder: "pairs of points", verdict.TypeSet: "choices"}[c.Type]
		line += ", which is partly correct: right " + counts + " minus wrong ones count"
	case c.Verdict == verdict.Fail && !said:
		line += ", which is not correct"
	}
	lines := []string{line}
	if c.Expected != "" && c.Verdict != verdict.Pass {
		lines = append(lines, "correct: "+show(c.Expected))
	}
	for _, m := range c.Misconceptions {
		lines = append(lines, "why not: "+show(m))
	}
	if c.Hint != "" {
		lines = append(lines, "hint: "+show(c.Hint))
	}
	if c.Read != "" {
		lines = append(lines, "read: "+show(c.Read))
	}
	return lines
}
