package grade

import (
	"context"
	"errors"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// missing says that what an expression needs to know of the whole run is not in the
// trace; an *expr.Missing says it of a value.
type missing struct{ verdict.Fact }

func (m *missing) Error() string { return "not in the trace: " + m.Case }

// reason is why an expression has no value.
func reason(err error) verdict.Fact {
	var run *missing
	var value *expr.Missing
	switch {
	case errors.As(err, &run):
		return run.Fact
	case errors.As(err, &value):
		return verdict.Fact{Case: value.Kind, Point: value.Point, Of: value.Of, Name: value.Name, Role: value.Role, Said: value.Why}
	}
	return verdict.Fact{Case: verdict.CaseFailed, Said: err.Error()}
}

// unhit returns the point for want of which an expression has no value, "" when the
// reason is another.
func unhit(err error) string {
	var value *expr.Missing
	if errors.As(err, &value) && value.Kind == expr.NotHit {
		return value.Point
	}
	return ""
}

func notHit(point string) error { return &expr.Missing{Kind: expr.NotHit, Point: point} }

// eval computes src over event e (nil for none) of round r.
func (v *view) eval(src string, e *trace.Event, r round) (any, error) {
	parsed, err := expr.Parse(src)
	if err != nil {
		return nil, err
	}
	env := &expr.Recording{
		Event: e, Roles: v.trace.Header.Roles, Header: &v.trace.Header, Hits: v.hitsOf, Calls: v.calls,
		Stop: func(point string) (*trace.Event, bool) {
			_, known := v.rules.point(point)
			return r.first(point), known
		},
		Task: func(role string) (expr.Task, bool) { return r.task(role), slices.Contains(v.rules.Roles(), role) },
	}
	if v.exit != nil {
		env.Exit = v.exit.Exit
	}
	v.traced(env, r)
	return parsed.Eval(context.Background(), env) // nothing here waits
}

// task returns a task of the lab, as its stops in a round show it.
func (r round) task(role string) (t expr.Task) {
	for _, e := range r.stops {
		switch at, ok := e.Finds[role]; {
		case e.Role == role && e.Task != nil:
			t.Last = e.Task
			if t.Address == 0 {
				t.Address = e.Task.Address
			}
		case ok && t.Address == 0:
			t.Address = at
		}
	}
	return t
}

// hitsOf is count, where it is known.
func (v *view) hitsOf(point string) (int, error) {
	n := v.count(point)
	if n == 0 {
		if why := v.unwatched(point); why != nil {
			return 0, &missing{verdict.Fact{Case: verdict.CaseUnknown, Point: point, Why: []verdict.Fact{*why}}}
		}
	}
	return n, nil
}

// checkExpr reports what is wrong with an expression over the event of a point
// ("" for none) that does not need a trace to be known.
func (r Rules) checkExpr(src, at string) error {
	e, err := expr.Parse(src)
	if err != nil {
		return err
	}
	_, err = e.Check(&expr.Names{Points: r.names(), Roles: r.Roles(), At: at, Run: true, Reads: func(point string) []string {
		p, _ := r.point(point)
		return plan.Names(p.Reads)
	}})
	return err
}

// Arguments returns the arguments of functions that the rules ask for, by point:
// a kernel whose function has none of that name can not be graded.
func (r Rules) Arguments() map[string][]string {
	out := map[string][]string{}
	use := func(src, at string) {
		e, err := expr.Parse(src)
		if err != nil {
			return // Validate reports it
		}
		needs := e.Needs()
		for _, p := range r.Points {
			args := needs.Of(p.Name, "arg")
			if p.Name == at {
				args = append(needs.Of("arg"), args...)
			}
			for _, arg := range args {
				if !slices.Contains(out[p.Name], arg) {
					out[p.Name] = append(out[p.Name], arg)
				}
			}
		}
	}
	for _, p := range r.Points {
		use(p.Lifetime, p.Name)
		for _, s := range p.Show {
			use(s.Expr, p.Name)
		}
	}
	for _, c := range r.Checks {
		for _, src := range []string{c.Observed, c.Expected, c.That} {
			use(src, c.At)
		}
	}
	for _, q := range r.Questions {
		use(q.Truth, q.At)
		for _, c := range q.Choices {
			use(c.When, q.At)
		}
	}
	return out
}
