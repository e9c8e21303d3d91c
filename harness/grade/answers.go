package grade

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// questionChecks are the checks of the questions, none of them made yet. A run
// that is not a submission is asked nothing.
func (r Rules) questionChecks() []verdict.Check {
	var out []verdict.Check
	if r.Answers == nil {
		return nil
	}
	for _, q := range r.Questions {
		out = append(out, verdict.Check{
			Name: q.Name, Kind: verdict.KindQuestion, Type: q.Type, Prompt: q.Prompt,
			Verdict: verdict.Skip, MaxScore: q.score(), Visibility: r.visibility(q.Name, q.Visibility, q.At),
		})
	}
	return out
}

// NeedsReference reports whether there is an answer whose truth t does not show
// because the program did not get there, so that a run of the lab's own program
// has to. A nil t shows nothing; kernel is the release that was or is to be run.
func NeedsReference(t *trace.Trace, r Rules, kernel string) bool {
	var answered []Question
	for _, q := range r.Questions {
		given, ok := r.Answers[q.Name].On(r.Arch, kernel)
		if _, invalid := given.(Invalid); ok && !invalid {
			answered = append(answered, q)
		}
	}
	if len(answered) == 0 || t == nil {
		return len(answered) > 0
	}
	v, err := newView(t, r)
	if err != nil {
		return false // can not be graded at all
	}
	return slices.ContainsFunc(answered, func(q Question) bool {
		if _, ok := v.rules.Question(q.Name); !ok {
			return false // not asked on this kernel
		}
		_, err := v.truth(q)
		return unhit(err) != ""
	})
}

// answers grades the answers; reference, which may be nil, shows what the run
// itself does not.
func (g *grader) answers(reference *view) {
	if g.rules.Answers == nil {
		return
	}
	open := map[verdict.Visibility][]string{}
	for _, q := range g.rules.Questions {
		c := g.answerTo(q.Name)
		g.about = c.Visibility
		given, ok := g.rules.Answers[q.Name].On(g.result.Arch, g.result.Kernel)
		if !ok {
			c.Got = &verdict.Fact{Case: verdict.CaseNotAnswered}
			settle(c, false)
			open[c.Visibility] = append(open[c.Visibility], q.Name)
			g.keep(q, reference)
			continue
		}
		g.answer(c, q, given, reference)
	}
	for _, v := range slices.Sorted(maps.Keys(open)) {
		g.about = v
		g.find(g.end(), verdict.FindAnswer, verdict.Fact{Case: verdict.CaseUnanswered, Checks: open[v]})
	}
}

func (g *grader) answer(c *verdict.Check, q Question, given any, reference *view) {
	if why, bad := given.(Invalid); bad {
		// Found already, by what is wrong with what was handed in.
		c.Got = &verdict.Fact{Case: verdict.CaseNotUnderstood, Said: clip(string(why), 200)}
		settle(c, false)
		g.keep(q, reference)
		return
	}
	c.Observed, c.Got = q.Show(given), nil
	seen, truth, err := g.keep(q, reference)
	if err != nil {
		g.unanswerable(c, q, err)
		return
	}
	settle(c, seen.right(q, given, truth))
	if c.Verdict == verdict.Pass {
		return
	}
	c.Score = q.partly(given, truth)
	c.Hint, c.Read = q.Hint, q.Read
	c.Misconceptions = seen.behind(q, given, truth)
	if q.Reveal {
		c.Expected = q.Show(truth)
	}
	g.find(g.end(), verdict.FindAnswer, verdict.Fact{Case: verdict.CaseWrong, Check: q.Name})
}

// keep computes the truth of a question, by the run or else by the reference, and
// remembers it for what is to be concealed.
func (g *grader) keep(q Question, reference *view) (seen *view, truth any, err error) {
	seen, err = g.view, &missing{verdict.Fact{Case: verdict.CaseNotRun}}
	if !g.absent {
		truth, err = seen.truth(q)
	}
	if err != nil && reference != nil {
		seen = reference
		truth, err = seen.truth(q)
	}
	if err == nil {
		g.truths = append(g.truths, known{q, truth})
	}
	return seen, truth, err
}

// unanswerable is a question whose truth is not known. That the program did not
// get to a point is the program's doing; all else is ours.
func (g *grader) unanswerable(c *verdict.Check, q Question, err error) {
	c.Verdict, c.Score, c.Observed = verdict.Skip, 0, ""
	why := []verdict.Fact{reason(err)}
	c.Got = &verdict.Fact{Case: verdict.CaseNotGraded, Why: why}
	g.find(g.end(), verdict.FindNotSeen, verdict.Fact{Case: verdict.CaseNotGraded, Questions: []string{q.Name}, Why: why})
	if unhit(err) == "" {
		g.ours = append(g.ours, verdict.Fact{Case: verdict.CaseNotGraded, Questions: []string{q.Name}, Why: why})
	}
}

// right reports whether an answer is the truth.
func (v *view) right(q Question, given, truth any) bool {
	switch q.Type {
	case TypeNumber:
		return near(q.Tolerance, given, truth)
	case TypeAddress:
		return expr.Equal(given, truth)
	case TypeSymbol:
		name, _ := given.(string)
		return bareSymbol(name) == truth || v.isPoint(bareSymbol(name), truth)
	case TypeChoice:
		a, aok := given.(string)
		b, bok := truth.(string)
		return aok && bok && sameWord(a, b)
	}
	a, aok := given.([]string)
	b, bok := truth.([]string)
	if !aok || !bok {
		return false
	}
	if q.Type == TypeSet {
		a, b = slices.Clone(a), slices.Clone(b)
		fold := func(x, y string) int { return strings.Compare(strings.ToLower(x), strings.ToLower(y)) }
		slices.SortFunc(a, fold)
		slices.SortFunc(b, fold)
	}
	return slices.EqualFunc(a, b, sameWord)
}

// near compares numbers. Without a tolerance whole numbers are compared by all of
// their 64 bits.
func near(tol Tolerance, given, truth any) bool {
	if tol == (Tolerance{}) {
		return expr.Equal(given, truth)
	}
	a, b := expr.Float(given), expr.Float(truth) // NaN, of what is no number, is near nothing
	return math.Abs(a-b) <= max(tol.Absolute, tol.Relative*math.Abs(b))
}

// bareSymbol is a symbol without what is often written after one: "()", "+0x0".
func bareSymbol(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "+0x0")
	return strings.TrimSpace(strings.TrimSuffix(s, "()"))
}

// isPoint reports whether name is the point that symbol is on this kernel: the
// symbols differ between kernels, and the points do not.
func (v *view) isPoint(name string, symbol any) bool {
	return slices.ContainsFunc(v.trace.Header.Points, func(p trace.Point) bool {
		return p.Point == name && p.Symbol == symbol
	})
}

// Show writes an answer to the question, or its truth, for a person.
func (q Question) Show(val any) string {
	switch val := val.(type) {
	case []string:
		sep := ", "
		if q.Type == TypeOrder {
			sep = " → "
		}
		if len(val) == 0 {
			return "none of them"
		}
		return clip(strings.Join(val, sep), 400)
	case string:
		return clip(val, 200)
	case int:
		if q.Type == TypeAddress {
			return trace.Word(val).String()
		}
		return unit(strconv.Itoa(val), q.Unit)
	case float64:
		return unit(strconv.FormatFloat(val, 'g', -1, 64), q.Unit)
	}
	return ""
}

// clip shortens s to n bytes at a rune's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func unit(number, unit string) string {
	if unit == "" {
		return number
	}
	if number == "1" {
		unit = strings.TrimSuffix(unit, "s")
	}
	return number + " " + unit
}
