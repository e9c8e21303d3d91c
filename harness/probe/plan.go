// Package probe drives the points of a lab on a live guest and emits the trace.
//
// It arms the lab's entry, and the rest only when the lab's own program enters
// it, so that the other tasks of the machine cost nothing. Every stop is
// identified by its address against the plan and by the task that was running; a
// task of the lab is known by the address of its task_struct, which an earlier
// stop told, or by a condition over what the kernel keeps of it. The package
// records and judges nothing: see grade.
package probe

import (
	"cmp"

	"kernellab/harness/plan"
)

// Plan is what to stop at, for one architecture.
type Plan struct {
	// Tasks are the roles that are known by a condition. The entry's is the task
	// that enters; the others are told by a point's Finds.
	Tasks  []plan.Task
	Points []plan.Point
	// Instead are other ways to do what the entry does. They are armed until the entry
	// is hit, and a stop of the program there is an aside. Only Name, Place and Aside
	// are used. A kernel may lack them.
	Instead []plan.Point
	// Parents: the parent of the running task is recorded at every stop.
	Parents bool
	// Args are the program's arguments, without its name.
	Args []string
	// Open are files below /proc or /sys that the program inherits, opened by
	// root, as descriptors 3, 4 and so on.
	Open []string
}

// Argv is the program's argument vector, nil for its name alone.
func (p Plan) Argv(name string) []string {
	if len(p.Args) == 0 {
		return nil
	}
	return append([]string{name}, p.Args...)
}

// Roles returns the roles of the plan.
func (p Plan) Roles() []string { return plan.Roles(p.Points) }

func place(p plan.Point) string { return cmp.Or(p.Place, p.Name) }
