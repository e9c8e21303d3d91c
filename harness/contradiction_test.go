package harness

import (
	"errors"
	"testing"

	"kernellab/harness/contradiction"
	"kernellab/harness/machine"
	"kernellab/harness/plan"
	"kernellab/harness/probe"
	"kernellab/harness/trace/tracetest"
)

// A live run whose trace contradicts itself is not graded: the failure is the harness's,
// names the event and the field, and is not tried again.
func TestContradictionIsOurs(t *testing.T) {
	var driven probe.Plan
	for _, name := range tracetest.Points() {
		p := plan.Point{Name: name, Role: "parent", Entry: name == "sys_clone"}
		switch name {
		case "dup_task_struct":
			p.Finds = []plan.Named{{Name: "child", Expr: "arg.dst"}}
		case "ret_from_fork":
			p.Role = "child"
		}
		driven.Points = append(driven.Points, p)
	}
	for _, arch := range []string{"x86_64", "riscv64"} {
		r := &recording{Job: Job{Plan: driven}, trace: *tracetest.Fork(arch)}
		if err := r.judge(); err != nil || r.out.Trace == nil {
			t.Errorf("%s: %v", arch, err)
		}
		r = &recording{Job: Job{Plan: driven}, trace: *tracetest.Fork(arch)}
		r.trace.Events[4].Finds["child"] += 8
		err := r.judge()
		var ours *machine.Error
		var found *contradiction.Error
		if !errors.As(err, &ours) || !errors.As(err, &found) || found.Event != 5 || found.Field != "finds.child" {
			t.Errorf("%s: %v, want a failure of the harness in event 5, finds.child", arch, err)
		}
		if machine.Retryable(err) || r.out.Trace != nil {
			t.Errorf("%s: %v may be tried again, or %v was graded", arch, err, r.out.Trace)
		}
	}
}
