// Package probe drives the points of a lab on a live guest and emits the trace.
//
// It arms the lab's entry, and the rest only when the lab's own program enters
// it, so that the other tasks of the machine cost nothing. Every stop is
// identified by its address against the plan and by the task that was running; a
// task of the lab is known by the address of its task_struct, which an earlier
// stop told, or by a condition over what the kernel keeps of it. The package
// records and judges nothing: see grade.
package probe

// Plan is what to stop at, for one architecture.
type Plan struct {
	// Tasks are the roles that are known by a condition. The entry's is the task
	// that enters; the others are told by a point's Finds.
	Tasks  []Task
	Points []Point
	// Parents: the parent of the running task is recorded at every stop.
	Parents bool
	// Args are the program's arguments, without its name.
	Args []string
	// Open are files below /proc or /sys that the program inherits, opened by
	// root, as descriptors 3, 4 and so on.
	Open []string
}

// Any is the role of a point at which any task may stop.
const Any = "any"

// Task is a role that the first task takes for which When is true at one of the
// role's points.
type Task struct{ Role, When string }

// Point is one place to stop at.
type Point struct {
	Name string // unique in the lab
	// Place is the logical place in the kernel, "" for one of the point's name.
	Place string
	// ReturnOf names an earlier point: this is the return of that call, in the
	// same task and with the same stack pointer. Place is not used then.
	ReturnOf string
	// Role is whose stop it is; see Any.
	Role string
	// Entry marks the point that begins a round: the one call of the program
	// that the lab is about.
	Entry bool
	// When is a condition over the event ("" is always): a stop for which it is
	// false is recorded as an aside, or not at all where any task may stop. It
	// sees trace.Event.Env, the constants, the addresses of tasks by role, and the
	// latest stop of the round at each other point, by its name.
	When string
	// Aside is what such a stop is, told to a person.
	Aside string
	// Finds are the tasks that this stop tells: read expressions whose values are
	// addresses of task_struct.
	Finds []Find
	// Armed names the points after each of which this one is armed, until it has
	// been seen as often as it is armed, or until Until. None is from the entry to
	// the last step of the round.
	Armed []string
	// Until names the point from which on this one is not armed.
	Until string
	// Step is false for a stop that is evidence only, no step of the path.
	Step bool
	// Hits is how often it comes in a round; nil is once.
	Hits *Range
	// Optional: where this kernel has no such place, the run goes on without.
	Optional bool
	// Absent says why this architecture has no such place, "" where it has.
	Absent string
	// Stacks are the roles whose kernel stacks are recorded as they lie in memory.
	Stacks []string
	// Reads are taken at the stop, in this order.
	Reads []Read
	// Needs are arguments that whoever reads the trace needs, beside those of When,
	// Finds and Reads.
	Needs []string
	// Args are the arguments that whoever judges the trace will ask for.
	Args []string
	// Source is where the point was written, for errors: "lab.yaml:17".
	Source string
}

// Range is a number of times; Most below 0 is without limit.
type Range struct{ Least, Most int }

// Find is a role and the read expression that gives its task.
type Find struct{ Role, Expr string }

// Read is a value to read from the stopped guest: see scope for the language.
type Read struct{ Name, Expr, Source string }

func (p Point) place() string {
	if p.Place != "" {
		return p.Place
	}
	return p.Name
}

func (p Point) hits() Range {
	if p.Hits == nil {
		return Range{1, 1}
	}
	return *p.Hits
}

// Argv is the program's argument vector, nil for its name alone.
func (p Plan) Argv(name string) []string {
	if len(p.Args) == 0 {
		return nil
	}
	return append([]string{name}, p.Args...)
}

// Roles returns the roles of the plan, in the order in which points have them.
func (p Plan) Roles() []string {
	var roles []string
	seen := map[string]bool{Any: true}
	add := func(role string) {
		if !seen[role] {
			seen[role] = true
			roles = append(roles, role)
		}
	}
	for _, point := range p.Points {
		add(point.Role)
		for _, f := range point.Finds {
			add(f.Role)
		}
	}
	return roles
}
