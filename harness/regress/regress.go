// Package regress finds changes between kernels. It records the results of a lab on a
// kernel as an entry of a baseline, and compares entries: verdicts, the symbols of
// points, the order and number of hits, names and types of arguments, offsets of the
// structure members that the lab reads, and the child's stack at its first instruction.
//
// The package is pure: it makes entries from traces and verdicts alone. It does not
// record values that have no meaning beyond one run, such as addresses, pids and times.
//
// A baseline is a JSON document with schema lab.baseline/1 for version control: its
// order is fixed and its lines are short, so that diffs are readable.
package regress

import (
	"slices"
	"strconv"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// FirstInstruction is the point at a new task's first instruction, where its stack is
// recorded.
const FirstInstruction = "ret_from_fork"

// near is the distance from the stack pointer, in bytes, within which an address counts
// as on the stack.
const near = 64 << 10

// Entry is the result of one lab on one kernel.
type Entry struct {
	Lab      string          `json:"lab"`
	Arch     string          `json:"arch"`
	Kernel   string          `json:"kernel"` // uname -r
	Verdict  verdict.Verdict `json:"verdict"`
	Score    int             `json:"score"`
	MaxScore int             `json:"max_score"`
	// Failed are the names of the checks that failed.
	Failed []string `json:"failed,omitempty"`
	Points []Point  `json:"points,omitempty"` // in the order of the lab
	// Order is the order of the points at which each task stopped. The keys are roles
	// such as "parent", from the second round on with a number: "parent 2".
	Order map[string][]string `json:"order,omitempty"`
	Stack *Stack              `json:"stack,omitempty"` // nil without a stop at FirstInstruction
	// Fields are the members of kernel structures that were read, by path.
	Fields map[string]trace.Field `json:"fields,omitempty"`
}

// Point is a point and its hits.
type Point struct {
	Point  string `json:"point"`
	Symbol string `json:"symbol"`
	Hits   int    `json:"hits"`
	Args   []Arg  `json:"args,omitempty"`
}

// Arg is an argument, without its value.
type Arg struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Stack is the layout of a task's stack at its first instruction, in bytes.
type Stack struct {
	Sizes       map[string]int `json:"sizes"` // of kernel types: pt_regs, stack_top
	SwitchFrame int            `json:"switch_frame"`
	// FromSP has the reads whose values are addresses on the stack, as distances from
	// the stack pointer: negative is below.
	FromSP map[string]int `json:"from_sp"`
}

// Record returns the entry of a run. The trace may be nil, as for a kernel that did
// not boot.
func Record(t *trace.Trace, r verdict.Result) Entry {
	e := Entry{
		Lab: r.Lab, Arch: r.Arch, Kernel: r.Kernel, Verdict: r.Verdict, Score: r.Score, MaxScore: r.MaxScore,
	}
	for _, c := range r.Checks {
		if c.Verdict != verdict.Pass && r.Verdict != verdict.Error && c.Kind != verdict.KindGroup {
			e.Failed = append(e.Failed, c.Name)
		}
	}
	if t == nil {
		return e
	}
	e.Fields = t.Fields()
	for _, p := range t.Header.Points {
		e.Points = append(e.Points, Point{Point: p.Point, Symbol: p.Symbol})
	}
	for _, ev := range t.Events {
		if ev.Kind == trace.KindStop && ev.Aside == "" {
			e.stop(ev, t.Header)
		}
	}
	return e
}

// stop adds a stop to the entry.
func (e *Entry) stop(ev trace.Event, h trace.Header) {
	i := slices.IndexFunc(e.Points, func(p Point) bool { return p.Point == ev.Point })
	if i < 0 {
		i = len(e.Points)
		e.Points = append(e.Points, Point{Point: ev.Point, Symbol: ev.Symbol})
	}
	p := &e.Points[i]
	if p.Hits++; p.Hits == 1 {
		for _, a := range ev.Args {
			p.Args = append(p.Args, Arg{a.Name, a.Type})
		}
	}
	if e.Order == nil {
		e.Order = map[string][]string{}
	}
	task := ev.Role
	if ev.Round > 1 {
		task += " " + strconv.Itoa(ev.Round)
	}
	e.Order[task] = append(e.Order[task], ev.Point)
	if ev.Point == FirstInstruction && e.Stack == nil {
		e.Stack = geometry(ev, h)
	}
}

// geometry returns the layout of the stack at a first instruction.
func geometry(ev trace.Event, h trace.Header) *Stack {
	sp, ok := ev.Registers[h.Roles["sp"]]
	if !ok {
		return nil
	}
	s := &Stack{Sizes: h.Sizes, SwitchFrame: h.SwitchFrame, FromSP: map[string]int{}}
	for name, v := range ev.Reads {
		if d := int64(v - sp); d > -near && d < near {
			s.FromSP[name] = int(d)
		}
	}
	return s
}

// point returns the entry's point with a name.
func (e Entry) point(name string) (Point, bool) {
	for _, p := range e.Points {
		if p.Point == name {
			return p, true
		}
	}
	return Point{}, false
}
