// Package probe drives a live guest through the points of a lab and emits the trace.
//
// It arms only the lab's entry until the lab's own program enters it, so that other
// tasks in the machine are not slowed down. Each stop is identified by its address and
// by the running task. A task of the lab is recognized by the address of its
// task_struct, which an earlier stop found, and by its pid once it has stopped, or by a
// condition on the kernel's data about it. The package records and does not judge: see package grade.
package probe

import (
	"cmp"

	"kernellab/harness/plan"
)

// Plan lists the points to stop at, for one architecture.
type Plan struct {
	// Tasks are the roles with a condition. The role of the entry belongs to the task
	// that enters; a point's Finds determines the other tasks.
	Tasks  []plan.Task
	Points []plan.Point
	// Instead are alternatives to the entry. They are armed until the entry is hit, and
	// a stop of the program there is an aside. Only Name, Place and Aside are used. A
	// kernel may lack them.
	Instead []plan.Point
	// Parents says that the parent of the running task is recorded at every stop.
	Parents bool
	// Args are the program's arguments, without its name.
	Args []string
	// Open are files below /proc or /sys that the program inherits, opened by
	// root, as descriptors 3, 4 and so on.
	Open []string
	// Init says that the program runs as the guest's first process.
	Init bool `json:",omitempty"`
	// Panic is how the message begins with which the kernel has to panic, and so to end
	// the run; "" for a run that the program ends.
	Panic string `json:",omitempty"`
}

// Argv returns the program's argument vector, nil for only its name.
func (p Plan) Argv(name string) []string {
	if len(p.Args) == 0 {
		return nil
	}
	return append([]string{name}, p.Args...)
}

// Roles returns the roles of the plan.
func (p Plan) Roles() []string { return plan.Roles(p.Points) }

// names returns the names of the plan's points.
func (p Plan) names() []string {
	var names []string
	for _, q := range p.Points {
		names = append(names, q.Name)
	}
	return names
}

// reads returns the names of a point's reads.
func (p Plan) reads(point string) []string {
	for _, q := range p.Points {
		if q.Name == point {
			return plan.Names(q.Reads)
		}
	}
	return nil
}

func place(p plan.Point) string { return cmp.Or(p.Place, p.Name) }
