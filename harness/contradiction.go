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
	plan, err := contradiction.NewPlan(p.Points, p.Tasks, p.Instead)
	if err != nil {
		return err
	}
	return contradiction.Check(t, plan)
}
