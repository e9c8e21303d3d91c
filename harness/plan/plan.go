// Package plan has the points and tasks of a lab, as lab.yaml has them, for one
// architecture. The driver stops at these points (harness/probe), and the rules judge
// what was seen there (harness/grade).
package plan

import (
	"slices"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Any is the role of a point at which any task may stop. Such points have no order but
// their After.
const Any = "any"

// Task is a task that has a part in the lab.
type Task struct {
	Role  string
	Means string
	// When is a condition: the role is taken by the first task for which it is true at
	// one of the role's points. "" is the task that enters, or one that a point finds.
	When string
}

// Point is one place to stop at, and what is expected there. All expressions are those
// of harness/expr.
type Point struct {
	Name string // unique in the lab
	// Place is the logical place in the kernel, "" for one of the point's name; of a
	// return, that of the call.
	Place string
	// ReturnOf names an earlier point: this is the return of that call, in the same task
	// and with the same stack pointer.
	ReturnOf string
	// Role is whose stop it is; see Any.
	Role string
	// Entry marks the point that begins a round: the one call of the program that the
	// lab is about.
	Entry bool
	// Step is false for a stop that is evidence only, no step of the path.
	Step bool
	// Anytime: the step may come anywhere among the steps of its role.
	Anytime bool
	// Hits is how often it comes in a round; nil is once.
	Hits *trace.Range
	// After are points of any role that come before it.
	After []string

	// When is a condition over the event ("" is always): a stop for which it is false is
	// recorded as an aside, or not at all where any task may stop.
	When string
	// Aside is what such a stop is, told to a person.
	Aside string
	// Finds are the tasks that this stop tells: roles, and expressions whose values are
	// addresses of task_struct.
	Finds []Named
	// Reads are taken at the stop, in this order.
	Reads []Named
	// Show are values worth seeing.
	Show []Named
	// Lifetime is an expression that says in words what happens here, for the line
	// "PID[comm]/PPID[comm] words"; "" for no line.
	Lifetime string
	// Args are the arguments that whoever judges the trace will ask for.
	Args []string
	// Stacks are the roles whose kernel stacks are recorded as they lie in memory.
	Stacks []string

	// Within names an earlier point of the same role, which enters a call: this one is
	// a step of that call. When it comes again, as often as it may, the task is in
	// another call, whose stops are no part of the lab, until Within comes again.
	Within string `json:",omitempty"`
	// Armed names the points after each of which this one is armed, until it has been
	// seen as often as it is armed, or until Until. None is from the entry to the last
	// step of the round.
	Armed []string
	// Until names the point from which on this one is not armed.
	Until string

	// Optional: where this kernel has no such place, the run goes on without.
	Optional bool
	// Absent says why this architecture has no such place, "" where it has.
	Absent string
	// Elsewhere: it is absent because it is another architecture's way to do what
	// another point does in this one, so nothing is missed.
	Elsewhere bool

	Means string // told to a person
	// Visibility is of the point's steps, of the findings about it, and of the checks and
	// questions at it that do not say theirs.
	Visibility verdict.Visibility
	// Source is where the point was written, for errors: "lab.yaml:17".
	Source string
}

// Named is an expression with a name: a read, a shown value, or the role of a task that
// is found.
type Named struct{ Name, Expr, Source string }

// Names returns the names of expressions.
func Names(all []Named) []string {
	var names []string
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names
}

// Times returns how often the point comes in a round.
func (p Point) Times() trace.Range {
	if p.Hits == nil {
		return trace.Range{Least: 1, Most: 1}
	}
	return *p.Hits
}

// Roles returns the tasks of points: those that stop at one in the order of the points,
// then those that are only found.
func Roles(points []Point) []string {
	var roles []string
	add := func(role string) {
		if role != "" && role != Any && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	for _, p := range points {
		add(p.Role)
	}
	for _, p := range points {
		for _, f := range p.Finds {
			add(f.Name)
		}
	}
	return roles
}
