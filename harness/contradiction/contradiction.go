// Package contradiction finds what can not be in a trace, whatever the program did:
// a register, a task, an address or an order that disagrees with the rest of the
// trace, with its header, or with the plan that it was recorded by.
//
// It knows what the recorder does (harness/probe) and what the kernel can do. Every
// relation that it checks holds in each run of each program, a hostile one too: what a
// program can bring about is no contradiction, and is left to a lab's rules. Task
// addresses and process ids are used again in a run, a task's name is the program's
// choice, and calls that are no point leave nothing in a trace.
//
// It judges no program and sees no guest.
package contradiction

import (
	"fmt"
	"maps"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/trace"
)

// Error is the first contradiction of a trace.
type Error struct {
	Event int    // Seq of the event, 0 for the header
	Kind  string // of the event
	Point string // of a stop
	// Field is the path of what contradicts the rest: "registers.rip", "stack[2].sp".
	Field string
	Why   string
}

func (e *Error) Error() string {
	at := "the header"
	switch {
	case e.Point != "":
		at = fmt.Sprintf("event %d (%s)", e.Event, e.Point)
	case e.Event > 0:
		at = fmt.Sprintf("event %d (%s)", e.Event, e.Kind)
	}
	return fmt.Sprintf("the trace contradicts itself in %s, %s: %s", at, e.Field, e.Why)
}

// Check returns the first contradiction in t as an *Error, nil for none. plan is what t
// was recorded by; relations to it are left out where plan is nil or has other points
// than the header.
func Check(t *trace.Trace, plan *Plan) error {
	c := &checker{
		header: t.Header, points: map[string]trace.Point{}, instead: map[string]trace.Point{}, armable: map[string]bool{}, found: map[string]bool{},
		armed: map[string]bool{}, tasks: tasks{}.new(), functions: map[trace.Word]function{},
	}
	if plan.fits(t.Header) {
		c.plan = plan
	}
	c.headerHolds()
	if c.err != nil {
		return c.err
	}
	for _, e := range t.Events {
		for _, name := range e.Arms {
			c.armable[name] = true
		}
		for role := range e.Finds {
			c.found[role] = true
		}
	}
	for _, p := range t.Header.Points {
		c.armed[p.Point] = c.entry(p.Point)
	}
	for _, p := range t.Header.Instead {
		c.armed[p.Point] = true
	}
	for i := range t.Events {
		c.at(i, &t.Events[i])
		if c.err != nil {
			return c.err
		}
	}
	return nil
}

// checker goes through one trace.
type checker struct {
	header trace.Header
	arch   arch.Arch
	plan   *Plan // nil for none
	points map[string]trace.Point
	// instead are the points at other ways to do what the entry does.
	instead map[string]trace.Point
	// armable are the points that some event arms, found the roles that some event
	// finds.
	armable, found map[string]bool

	event *trace.Event // that is checked
	past  []moment
	armed map[string]bool
	// rounds are the tasks of each round by role, as the recorder knows them.
	rounds    []map[string]trace.Word
	registers []string // that the first stop has
	// parents and stacks say whether the steps of the lab have a parent of the task and
	// a stack, nil before the first.
	parents, stacks *bool
	fields          map[string]trace.Field
	functions       map[trace.Word]function
	tasks           tasks
	err             error
}

// wrong reports a contradiction, if it is the first.
func (c *checker) wrong(field, format string, args ...any) {
	if c.err != nil {
		return
	}
	e := &Error{Field: field, Why: fmt.Sprintf(format, args...)}
	if c.event != nil {
		e.Event, e.Kind, e.Point = c.event.Seq, c.event.Kind, c.event.Point
	}
	c.err = e
}

// at checks the event of index i.
func (c *checker) at(i int, e *trace.Event) {
	c.event = e
	switch {
	case e.Seq != i+1:
		c.wrong("seq", "%d is not %d", e.Seq, i+1)
	case i == 0 && e.Kind != trace.KindProgram:
		c.wrong("kind", "the first event is not the program's start")
	case i > 0 && e.Kind == trace.KindProgram:
		c.wrong("kind", "the program starts twice")
	case i > 0 && e.Time < c.past[i-1].Time:
		c.wrong("time_ns", "%d ns is before the event in front of it, %d ns", e.Time, c.past[i-1].Time)
	case i > 0 && c.past[i-1].Kind == trace.KindFtrace && e.Kind != trace.KindExit:
		c.wrong("kind", "it follows what ftrace recorded up to the program's end")
	case i > 0 && c.past[i-1].Kind == trace.KindExit && e.Kind != trace.KindEnd:
		c.wrong("kind", "it follows the program's end")
	case e.Ftrace != nil && e.Kind != trace.KindFtrace:
		c.wrong("ftrace", "another event has what ftrace recorded")
	case e.Kind == trace.KindEnd && (i == 0 || c.past[i-1].Kind != trace.KindExit):
		c.wrong("kind", "the run ends before the program")
	case e.Kind == trace.KindEnd && e.Time != c.past[i-1].Time:
		c.wrong("time_ns", "%d ns is not the time of the program's end, %d ns", e.Time, c.past[i-1].Time)
	}
	switch e.Kind {
	case trace.KindStop:
		c.stop(e)
	case trace.KindProgram:
		c.noStop(e)
		c.program(e)
	case trace.KindFtrace:
		c.noStop(e)
		c.ftrace(i, e)
	case trace.KindExit:
		c.noStop(e)
		c.exit(e)
	case trace.KindEnd:
		c.noStop(e)
	default:
		c.wrong("kind", "%q is none", e.Kind)
	}
	m := moment{Event: e}
	if at := place(c.points[e.Point]); making[at] != "" || at == "sys_clone" {
		m.armed = maps.Clone(c.armed)
	}
	c.past = append(c.past, m)
}

// moment is an event that was checked.
type moment struct {
	*trace.Event
	armed map[string]bool // the points that are armed after it, where a task is made
}

// arg returns the argument of that name, 0 for none.
func (m moment) arg(name string) trace.Word {
	v, _ := m.Arg(name)
	return v
}

// noStop checks that an event has nothing that only a stop has.
func (c *checker) noStop(e *trace.Event) {
	has := map[string]bool{
		"point": e.Point != "", "symbol": e.Symbol != "", "address": e.Address != 0, "parent": e.Parent != nil, "role": e.Role != "",
		"round": e.Round != 0, "aside": e.Aside != "", "by_other": e.ByOther, "cpu": e.CPU != 0, "registers": len(e.Registers) > 0, "args": len(e.Args) > 0,
		"reads": len(e.Reads) > 0, "texts": len(e.Texts) > 0, "finds": len(e.Finds) > 0, "arms": len(e.Arms) > 0,
		"disarms": len(e.Disarms) > 0, "unread": len(e.Unread) > 0, "fields": len(e.Fields) > 0, "stack": len(e.Stack) > 0,
		"stacks": len(e.Stacks) > 0,
		"task":   e.Task != nil && e.Kind != trace.KindProgram, "exit": e.Exit != nil && e.Kind != trace.KindExit,
	}
	for _, field := range sorted(has) {
		if has[field] {
			c.wrong(field, "the guest did not stop here")
		}
	}
}

func (c *checker) program(e *trace.Event) {
	switch t := e.Task; {
	case t == nil:
		c.wrong("task", "the program has no process")
	case t.PID < 1 || t.PID != t.TGID:
		c.wrong("task.pid", "%d in the thread group %d is no process", t.PID, t.TGID)
	case t.Comm != c.header.Program.Name:
		c.wrong("task.comm", "%q is not the program, %q", t.Comm, c.header.Program.Name)
	case t.Address != 0:
		c.wrong("task.address", "the agent that made the process does not know its address")
	case e.Time != 0:
		c.wrong("time_ns", "the run's time begins when the program's process is made")
	}
}

func (c *checker) exit(e *trace.Event) {
	x := e.Exit
	switch {
	case x == nil:
		c.wrong("exit", "how the program ended is missing")
	case x.Stops > 0 && x.Stops != e.Seq-2:
		c.wrong("exit.stops", "%d is not the number of stops before it, %d", x.Stops, e.Seq-2)
	case x.Stops < 0 || x.Dropped < 0 || x.Leftover < 0:
		c.wrong("exit", "a number below 0")
	case x.Panic != "" && (x.Code != -1 || x.Signal != "" || x.TimedOut || x.Leftover > 0 || x.Dropped > 0):
		c.wrong("exit", "of a program that a panic ended, nothing else is known")
	case x.Panic != "" && !strings.HasPrefix(x.Output, trace.PanicSign+x.Panic+"\n"):
		c.wrong("exit.output", "it does not begin with the panic, %q", x.Panic)
	case x.Stops > 0 && (x.Code != -1 || x.Signal != "" || x.TimedOut || x.Panic != "" || x.Output != ""):
		c.wrong("exit", "of a program that stopped the guest too often, nothing else is known")
	case x.TimedOut && x.Limit != c.header.Program.Limit || !x.TimedOut && x.Limit != 0:
		c.wrong("exit.limit_ns", "%s is not the limit that ended the program", x.Limit)
	case x.Stuck && !x.TimedOut:
		c.wrong("exit.stuck", "a program that could not be killed has exceeded its limit")
	case x.Signal != "" && x.Code != -1:
		c.wrong("exit.code", "a program that %s ended has no status, and %d is one", x.Signal, x.Code)
	case x.Code < -1 || x.Code > 255:
		c.wrong("exit.code", "%d is no status", x.Code)
	}
}
