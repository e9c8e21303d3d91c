package grade

import (
	"fmt"
	"reflect"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// values makes the checks of the rules.
func (g *grader) values() {
	r := g.graded()
	type need struct {
		point string // not hit
		seen  verdict.Visibility
	}
	blocked := map[need][]string{} // checks that need a point
	var order []need
	for _, rule := range g.rules.Checks {
		c := g.on(rule.Name)
		var at *trace.Event
		if rule.At != "" {
			at = r.first(rule.At)
		}
		point := g.value(c, rule, at, r)
		if point == "" {
			continue
		}
		n := need{point, c.Visibility}
		if _, ok := blocked[n]; !ok {
			order = append(order, n)
		}
		blocked[n] = append(blocked[n], rule.Name)
	}
	if len(g.rounds) == 0 {
		return // found already: the program never made the call
	}
	for _, n := range order {
		g.about = n.seen
		g.notSeen(r, n.point, blocked[n])
	}
}

// value makes one check; point is the one that was not hit if that is why it
// could not be made.
func (g *grader) value(c *verdict.Check, rule CheckRule, at *trace.Event, r round) (point string) {
	var ok bool
	var err error
	if rule.That != "" {
		ok, err = g.that(c, rule, at, r)
	} else {
		ok, err = g.equal(c, rule, at, r)
	}
	if err != nil {
		why := reason(err)
		c.Verdict, c.Score, c.Observed, c.Got = verdict.Skip, 0, "", &why
		if point := unhit(err); point != "" {
			return point
		}
		g.unmade = append(g.unmade, verdict.Fact{Case: verdict.CaseNotGraded, Check: rule.Name, Why: []verdict.Fact{why}})
		g.find(g.seq(at), verdict.FindNotSeen, verdict.Fact{Case: verdict.CaseUnmade, Check: rule.Name, Point: rule.At, Why: []verdict.Fact{why}})
		return ""
	}
	settle(c, ok)
	if c.Verdict == verdict.Fail {
		g.find(g.seq(at), verdict.FindCheck, verdict.Fact{Case: verdict.CaseValue, Check: rule.Name, Point: rule.At})
	}
	return ""
}

// equal makes a check of two values.
func (g *grader) equal(c *verdict.Check, rule CheckRule, at *trace.Event, r round) (bool, error) {
	expected, err := g.eval(rule.Expected, at, r)
	if err == nil {
		c.Expected = g.format(expected, rule.Format)
	}
	var observed any
	switch {
	case rule.At != "" && at == nil:
		err = notHit(rule.At)
	case err == nil:
		observed, err = g.eval(rule.Observed, at, r)
	}
	if err != nil {
		return false, err
	}
	c.Observed = g.format(observed, rule.Format)
	return expr.Equal(observed, expected), nil
}

// that makes a check of a condition.
func (g *grader) that(c *verdict.Check, rule CheckRule, at *trace.Event, r round) (bool, error) {
	c.Expected = rule.That
	if rule.At != "" && at == nil {
		return false, notHit(rule.At)
	}
	v, err := g.eval(rule.That, at, r)
	if err != nil {
		return false, err
	}
	ok, isBool := v.(bool)
	if !isBool {
		return false, fmt.Errorf("%s gives %v: a condition is true or false", rule.That, v)
	}
	c.Got = &verdict.Fact{Case: map[bool]string{true: verdict.CaseHolds, false: verdict.CaseHoldsNot}[ok]}
	if rule.Observed != "" {
		observed, err := g.eval(rule.Observed, at, r)
		if err != nil {
			return false, err
		}
		c.Observed, c.Got = g.format(observed, rule.Format), nil
	}
	return ok, nil
}

// notSeen finds, once for a point that was not hit, the checks that hang on it.
func (g *grader) notSeen(r round, point string, checks []string) {
	p, _ := g.rules.point(point)
	if slices.ContainsFunc(g.findings, func(f placed) bool { return f.Point == point && f.Kind == verdict.FindMissing }) {
		return // found already, as a step
	}
	f := verdict.Fact{Case: verdict.CaseBlocked, Point: point, Role: p.Role, Checks: checks, Said: p.Means}
	if g.count(point) > 0 {
		f.Call = r.number
	}
	if e, ok := g.byOther[point]; ok {
		f.Task = who(e)
	}
	g.find(g.exit.Seq, verdict.FindNotSeen, f)
}

func (g *grader) seq(e *trace.Event) int {
	if e == nil {
		return g.end()
	}
	return e.Seq
}

// finish adds up the checks and orders the findings. It returns what the questions ask
// for.
func (g *grader) finish() secrets {
	res := g.result
	pass := len(res.Checks) > 0
	for _, c := range res.Checks {
		res.Score += c.Score
		pass = pass && c.Verdict == verdict.Pass
	}
	slices.SortStableFunc(g.findings, func(a, b placed) int { return a.seq - b.seq })
	// What only follows from something else that is told is not.
	if slices.ContainsFunc(g.findings, func(f placed) bool { return !f.follows }) {
		g.findings = slices.DeleteFunc(g.findings, func(f placed) bool { return f.follows })
	}
	g.findings = slices.CompactFunc(g.findings, func(a, b placed) bool { return reflect.DeepEqual(a.Finding, b.Finding) })
	s := g.conceal()
	for i, f := range g.findings {
		if i == maxFindings {
			res.Remark(verdict.Fact{Case: verdict.NoteMore})
			break
		}
		res.Findings = append(res.Findings, f.Finding)
	}
	for i := range res.Findings {
		g.quote(&res.Findings[i])
	}
	switch {
	case len(g.ours) > 0:
		*res = ungraded(*res, g.ours...)
	case pass && len(g.findings) == 0:
		res.Verdict = verdict.Pass
	case len(g.unmade) > 0 && len(g.findings) == len(g.unmade):
		// Nothing speaks against the program, but not all was seen.
		res.Verdict = verdict.Error
		res.Causes = g.unmade
	default:
		res.Verdict = verdict.Fail
	}
	return s
}

const maxFindings = 20

// quote puts into a finding what its check expected and observed.
func (g *grader) quote(f *verdict.Finding) {
	var c *verdict.Check
	switch f.Case {
	case verdict.CaseValue:
		c = g.check(f.Check)
	case verdict.CaseWrong:
		c = g.answerTo(f.Check)
	default:
		return
	}
	f.Expected, f.Observed = c.Expected, c.Observed
	if c.Got != nil {
		f.Why = []verdict.Fact{*c.Got}
	}
}
