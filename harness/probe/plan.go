// Package probe drives the points of a lab on a live guest and emits the trace.
//
// It arms the lab's entry, and the rest only when the lab's own program enters
// it, so that the other tasks of the machine cost nothing. Every stop is
// identified by its address against the plan and by the task that was running;
// the child is followed from the task_struct that its parent made. The package
// records and judges nothing: see grade.
package probe

// Plan is what to stop at, for one architecture.
type Plan struct {
	Points []Point
	// Writable are files below /sys that the program may write to, though only
	// root could.
	Writable []string
}

// Point is one place to stop at.
type Point struct {
	Name string // logical name; the kernel resolves it
	// Role is whose stop it is: "parent" or "child".
	Role string
	// Entry marks the point that begins a round: the one call of the program
	// that the lab is about.
	Entry bool
	// When is a condition over the event ("" is always): a stop for which it is
	// false is recorded as an aside. It sees trace.Event.Env, the constants, and
	// the task addresses parent and child.
	When string
	// Aside is what such a stop is, told to a person.
	Aside string
	// Child is a read expression whose value is the address of the task_struct
	// that this step makes, "" for none.
	Child string
	// Armed names the point after which this one is armed, until it has been seen
	// or the program ends. "" is from the entry to the last step of the round.
	Armed string
	// Step is false for a stop that is evidence only, no step of the path.
	Step bool
	// Reads are taken at the stop, in this order.
	Reads []Read
}

// Read is a value to read from the stopped guest: see Reader for the language.
type Read struct{ Name, Expr string }
