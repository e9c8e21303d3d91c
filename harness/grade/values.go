package grade

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// values makes the checks of the rules.
func (g *grader) values() {
	r := g.graded()
	type need struct {
		point string // not hit
		seen  Visibility
	}
	blocked := map[need][]string{} // checks that need a point
	var order []need
	for i, rule := range g.rules.Checks {
		c := g.on(indexValues + i)
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
		return // told already: the program never made the call
	}
	for _, n := range order {
		g.about = n.seen
		g.notSeen(r, n.point, blocked[n])
	}
}

// value makes one check; point is the one that was not hit if that is why it
// could not be made.
func (g *grader) value(c *Check, rule CheckRule, at *trace.Event, r round) (point string) {
	var ok bool
	var err error
	if rule.That != "" {
		ok, err = g.that(c, rule, at, r)
	} else {
		ok, err = g.equal(c, rule, at, r)
	}
	if err != nil {
		c.Verdict, c.Score, c.Observed = Skip, 0, reason(err)
		var m *missing
		if errors.As(err, &m) && m.point != "" {
			return m.point
		}
		g.unmade = append(g.unmade, rule.Name+": "+c.Observed)
		g.find(g.seq(at), FindNotSeen, rule.At, "%s: could not be checked: %s", rule.Name, c.Observed)
		return ""
	}
	settle(c, ok)
	if c.Verdict == Fail {
		g.find(g.seq(at), FindCheck, rule.At, "%s: expected %s, seen %s", rule.Name, c.Expected, c.Observed)
	}
	return ""
}

// equal makes a check of two values.
func (g *grader) equal(c *Check, rule CheckRule, at *trace.Event, r round) (bool, error) {
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
	return equal(observed, expected), nil
}

// that makes a check of a condition.
func (g *grader) that(c *Check, rule CheckRule, at *trace.Event, r round) (bool, error) {
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
	c.Observed = map[bool]string{true: "it holds", false: "it does not hold"}[ok]
	if rule.Observed != "" {
		observed, err := g.eval(rule.Observed, at, r)
		if err != nil {
			return false, err
		}
		c.Observed = g.format(observed, rule.Format)
	}
	return ok, nil
}

// notSeen tells once of a point that was not hit which checks hang on it.
func (g *grader) notSeen(r round, point string, checks []string) {
	p, _ := g.rules.point(point)
	if p.Step && slices.ContainsFunc(g.findings, func(f placed) bool { return f.Point == point && f.Kind == FindMissing }) {
		return // told already by the order
	}
	for i, name := range checks {
		checks[i] = `"` + name + `"`
	}
	means := ""
	if p.Means != "" {
		means = " " + p.Means
	}
	hit := fmt.Sprintf("%s was never hit by the %s", point, p.Role)
	if g.count(point) > 0 {
		hit = fmt.Sprintf("%s was not hit by the %s for call %d", point, p.Role, r.number)
	}
	g.find(g.exit.Seq, FindNotSeen, point, "%s, and so %s can not hold.%s", hit, strings.Join(checks, ", "), means)
}

func (g *grader) seq(e *trace.Event) int {
	if e == nil {
		return g.end()
	}
	return e.Seq
}

// finish adds up the checks and orders the findings.
func (g *grader) finish() {
	res := g.result
	pass := len(res.Checks) > 0
	for _, c := range res.Checks {
		res.Score += c.Score
		pass = pass && c.Verdict == Pass
	}
	slices.SortStableFunc(g.findings, func(a, b placed) int { return a.seq - b.seq })
	// What only follows from something else that is told is not.
	if slices.ContainsFunc(g.findings, func(f placed) bool { return !f.follows }) {
		g.findings = slices.DeleteFunc(g.findings, func(f placed) bool { return f.follows })
	}
	g.findings = slices.CompactFunc(g.findings, func(a, b placed) bool { return a.Finding == b.Finding })
	for i, f := range g.findings {
		if i == maxFindings {
			res.Notes = append(res.Notes, "More findings follow from these; they are left out.")
			break
		}
		res.Findings = append(res.Findings, f.Finding)
	}
	g.conceal()
	switch {
	case len(g.ours) > 0:
		*res = res.errorf("%s", strings.Join(g.ours, "; "))
	case pass && len(g.findings) == 0:
		res.Verdict = Pass
	case len(g.unmade) > 0 && len(g.findings) == len(g.unmade):
		// Nothing speaks against the program, but not all was seen.
		res.Verdict = Error
		res.Error = strings.Join(g.unmade, "; ")
	default:
		res.Verdict = Fail
	}
}

const maxFindings = 20
