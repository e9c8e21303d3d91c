package harness

import (
	"kernellab/harness/contradiction"
	"kernellab/harness/probe"
	"kernellab/harness/trace"
)

// Contradiction returns the first contradiction in a trace that was recorded by a plan,
// as a *contradiction.Error, nil for none. A trace is checked before it is graded. In a
// run that has just been made it is never the program's fault.
func Contradiction(t *trace.Trace, p probe.Plan) error {
	plan, err := ContradictionPlan(p)
	if err != nil {
		return err
	}
	return contradiction.Check(t, plan)
}

// ContradictionPlan returns what package contradiction needs of a plan.
func ContradictionPlan(p probe.Plan) (*contradiction.Plan, error) {
	points := make([]contradiction.Point, len(p.Points))
	for i, q := range p.Points {
		points[i] = contradiction.Point{
			Name: q.Name, Role: q.Role, Entry: q.Entry, When: q.When, Aside: q.Aside, ReturnOf: q.ReturnOf, Within: q.Within,
			Finds: map[string]string{}, Reads: map[string]string{},
		}
		for _, f := range q.Finds {
			points[i].Finds[f.Name] = f.Expr
		}
		for _, r := range q.Reads {
			points[i].Reads[r.Name] = r.Expr
		}
	}
	var conditional []string
	for _, t := range p.Tasks {
		conditional = append(conditional, t.Role)
	}
	instead := map[string]string{}
	for _, q := range p.Instead {
		instead[q.Name] = q.Aside
	}
	return contradiction.NewPlan(points, conditional, instead)
}
