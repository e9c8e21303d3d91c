package calls

import (
	"slices"
)

// Schema is the value of Tree.Schema.
const Schema = "lab.calls/1"

// Tree is what a machine ran between two stops. As JSON it is what calls.schema.json
// describes.
type Tree struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"` // release
	From   string `json:"from"`   // points
	To     string `json:"to"`
	In     string `json:"in,omitempty"` // the tree is of the calls of this function only
	Ran    uint64 `json:"instructions"` // all that ran, whatever is in Tasks
	Blocks uint64 `json:"blocks"`
	Unsure int    `json:"unsure"` // transfers of control that could not be told
	Tasks  []Task `json:"tasks"`
}

// Task is the tree of a task.
type Task struct {
	// PID is 0 for a new task that no stop told, and in one tree for all other tasks that
	// none told.
	PID  int    `json:"pid"`
	Comm string `json:"comm,omitempty"`
	// Role is the task's role in the lab, if it has one.
	Role string `json:"role,omitempty"`
	// New says that the task began to run.
	New   bool    `json:"new,omitempty"`
	Total uint64  `json:"instructions"`
	Calls []*Node `json:"calls"`
}

// Kind is how a function was entered.
type Kind string

const (
	Called    Kind = "call"
	TailCall  Kind = "tail call"
	Interrupt Kind = "interrupt" // of a device or a timer
	Exception Kind = "exception" // a fault or a trap
	Syscall   Kind = "system call"
	Before    Kind = "before" // the first stop: the function was entered earlier
	Program   Kind = "program"
	Firmware  Kind = "firmware"
)

// Node is all calls of a function from one place of the tree.
type Node struct {
	Function string `json:"function"`
	Kind     Kind   `json:"kind"`
	Own      uint64 `json:"own"`          // instructions of the function itself
	Total    uint64 `json:"instructions"` // with those of what it calls
	Times    uint64 `json:"times"`        // 0 for Before
	// Points are the lab's stops in the function itself, each once.
	Points []string `json:"points,omitempty"`
	Unsure bool     `json:"unsure,omitempty"` // how it was entered could not be told
	Calls  []*Node  `json:"calls,omitempty"`  // in the order of the first call
}

// child returns the node of a function that n calls.
func (n *Node) child(function string, kind Kind) *Node {
	for _, c := range n.Calls {
		if c.Function == function && c.Kind == kind {
			return c
		}
	}
	c := &Node{Function: function, Kind: kind}
	n.Calls = append(n.Calls, c)
	return c
}

// mark adds a point.
func (n *Node) mark(point string) {
	if !slices.Contains(n.Points, point) {
		n.Points = append(n.Points, point)
	}
}

// merge adds the calls of o, and notes in moved which nodes took the place of which.
func (n *Node) merge(o *Node, moved map[*Node]*Node) {
	moved[o] = n
	n.Own, n.Times, n.Unsure = n.Own+o.Own, n.Times+o.Times, n.Unsure || o.Unsure
	for _, p := range o.Points {
		n.mark(p)
	}
	for _, c := range o.Calls {
		n.child(c.Function, c.Kind).merge(c, moved)
	}
}

// sum sets the totals, and returns that of n.
func (n *Node) sum() uint64 {
	n.Total = n.Own
	for _, c := range n.Calls {
		n.Total += c.sum()
	}
	return n.Total
}

// Walk calls do for each node of the tree, with its ancestors, outermost first.
func (t *Tree) Walk(do func(task Task, above []*Node, n *Node)) {
	var walk func(task Task, above []*Node, n *Node)
	walk = func(task Task, above []*Node, n *Node) {
		do(task, above, n)
		above = append(above, n)
		for _, c := range n.Calls {
			walk(task, above, c)
		}
	}
	for _, task := range t.Tasks {
		for _, n := range task.Calls {
			walk(task, nil, n)
		}
	}
}

// Only returns the tree of the tasks that keep accepts.
func (t *Tree) Only(keep func(Task) bool) *Tree {
	o := *t
	o.Tasks = slices.DeleteFunc(slices.Clone(t.Tasks), func(task Task) bool { return !keep(task) })
	return &o
}

// Inside returns the tree of all calls of a function, each task's in one node. Calls of
// the function by itself stay inside.
func (t *Tree) Inside(function string) *Tree {
	o := *t
	o.In, o.Tasks = function, nil
	for _, task := range t.Tasks {
		var found *Node
		var find func(n *Node)
		find = func(n *Node) {
			if n.Function != function {
				for _, c := range n.Calls {
					find(c)
				}
				return
			}
			if found == nil {
				found = &Node{Function: function, Kind: n.Kind}
			}
			found.merge(n, map[*Node]*Node{})
		}
		for _, n := range task.Calls {
			find(n)
		}
		if found != nil {
			task.Total, task.Calls = found.sum(), []*Node{found}
			o.Tasks = append(o.Tasks, task)
		}
	}
	return &o
}

// Functions returns how many functions of the kernel the tree has, and how many calls.
func (t *Tree) Functions() (functions int, calls uint64) {
	seen := map[string]bool{}
	t.Walk(func(_ Task, _ []*Node, n *Node) {
		if n.Kind != Program && n.Kind != Firmware {
			seen[n.Function] = true
			calls += n.Times
		}
	})
	return len(seen), calls
}
