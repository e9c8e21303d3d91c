package ftrace

import (
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
)

// The cases of a Row.
const (
	SameStack   = "same-stack"   // ftrace recorded the call, with the stack of the stop
	SameCall    = "same-call"    // it recorded the call, without a stack
	OtherStack  = "other-stack"  // it recorded the call, with another stack
	Off         = "off"          // tracing was off
	NoTracer    = "no-tracer"    // the function tracer was not set
	NotFiltered = "not-filtered" // the filter does not have the function
	NoEntry     = "no-entry"     // the stop is not at the first instruction of a function
	Untraceable = "untraceable"  // this kernel's ftrace cannot trace the function
	NotRecorded = "not-recorded" // nothing of this explains that there is no record
)

// Row is a stop at a breakpoint, beside the record that ftrace made of the same call.
type Row struct {
	Stop   *trace.Event
	Record *trace.FtraceRecord // nil for none
	Case   string
	// Frames is the number of the stack's frames that both have, and Differ, where they
	// differ, the frames of the stop and of the record, "" for the end of the stack.
	Frames int
	Differ [2]string
}

// Agrees reports whether the stop and the record do not contradict each other.
func (r Row) Agrees() bool { return r.Case != OtherStack && r.Case != NotRecorded }

// Compare puts what ftrace recorded beside the stops of a run, asides left out, and
// returns the records of calls for which there is no stop. Without ftrace it returns
// nothing.
//
// A record is of the same call as a stop when it is of the same function and thread. Of
// several, the first with the stop's stack is taken, else the first.
func Compare(t *trace.Trace) (rows []Row, rest []trace.FtraceRecord) {
	f := t.Ftrace()
	if f == nil {
		return nil, nil
	}
	left := slices.DeleteFunc(slices.Clone(f.Records), func(r trace.FtraceRecord) bool { return r.Function == "" })
	for i := range t.Events {
		e := &t.Events[i]
		if e.Kind != trace.KindStop || e.Aside != "" || e.Task == nil {
			continue
		}
		row := Row{Stop: e, Case: without(f, e)}
		best := -1
		for j := range left {
			if left[j].Function != e.Symbol || left[j].PID != e.Task.PID || !entry(e) {
				continue
			}
			if n, _ := common(e.Stack, &left[j]); best < 0 || n < 0 {
				best = j
				if n < 0 {
					break
				}
			}
		}
		if best >= 0 {
			r := left[best]
			left = slices.Delete(left, best, best+1)
			row.Record, row.Case = &r, SameCall
			if len(r.Stack) > 0 && len(e.Stack) > 0 {
				row.Frames, row.Differ = common(e.Stack, &r)
				row.Case = OtherStack
				if row.Frames < 0 {
					row.Frames, row.Case = len(frames(&r)), SameStack
				}
			}
		}
		rows = append(rows, row)
	}
	return rows, left
}

// entry reports whether a stop is at the first instruction of a function.
func entry(e *trace.Event) bool { return len(e.Stack) == 0 || e.Stack[0].Offset == 0 }

// without returns why ftrace has no record of the call at whose entry a stop is.
func without(f *trace.Ftrace, e *trace.Event) string {
	switch {
	case !entry(e):
		return NoEntry
	case slices.Contains(f.Untraceable, e.Symbol):
		return Untraceable
	case !f.On:
		return Off
	case f.Tracer != "function":
		return NoTracer
	case !f.All && !slices.Contains(f.Filter, e.Symbol):
		return NotFiltered
	}
	return NotRecorded
}

// common compares the stack of a stop with that of a record, and returns -1 when they are
// the same, or else how many frames are, and the next of each.
func common(stack []trace.Frame, r *trace.FtraceRecord) (same int, differ [2]string) {
	ours, theirs := kernelFrames(stack), frames(r)
	for i := 1; i < max(len(ours), len(theirs)); i++ { // the first is the function
		var a, b string
		if i < len(ours) {
			a = ours[i].String()
		}
		if i < len(theirs) {
			b = theirs[i]
		}
		if a == b || i < len(ours) && b == ours[i].Symbol { // without sym-offset
			continue
		}
		return i, [2]string{a, b}
	}
	return -1, differ
}

// kernelFrames is a stack as ftrace writes it: without what lies in user mode, and
// without the mark of where it had to end.
func kernelFrames(stack []trace.Frame) []trace.Frame {
	return slices.DeleteFunc(slices.Clone(stack), func(f trace.Frame) bool { return f.User || f.PC == 0 })
}

// frames is the stack of a record of a call, from the function on: ftrace's own frames
// come before it. The frame pointers that riscv64's unwinder follows do not show a
// function at its entry nor its caller, which the record has beside them.
func frames(r *trace.FtraceRecord) []string {
	at := func(names ...string) int {
		return slices.IndexFunc(r.Stack, func(f string) bool {
			name, _, _ := strings.Cut(f, "+")
			return slices.Contains(names, name)
		})
	}
	if i := at(r.Function); i >= 0 {
		return r.Stack[i:]
	}
	if i := at("ftrace_caller", "ftrace_call", "ftrace_regs_caller"); i >= 0 {
		return append([]string{r.Function, r.Caller}, r.Stack[i+1:]...)
	}
	return r.Stack
}

// Own returns the records of threads, of calls and events.
func Own(f *trace.Ftrace, pids ...int) []trace.FtraceRecord {
	var own []trace.FtraceRecord
	for _, r := range f.Records {
		if slices.Contains(pids, r.PID) {
			own = append(own, r)
		}
	}
	return own
}

// Field returns the value of a field NAME=VALUE of an event's text, as in
// "child_pid=83", and whether the text has it.
func Field(text, name string) (string, bool) {
	for _, word := range strings.Fields(text) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// About reports whether an event is about a thread that is named in its text, and not
// recorded in it: "pid=83", "child_pid=83", "next_pid=83", "prev_pid=83".
func About(r trace.FtraceRecord, pid int) bool {
	return slices.ContainsFunc([]string{"pid", "child_pid", "next_pid", "prev_pid"}, func(name string) bool {
		v, ok := Field(r.Text, name)
		return ok && v == strconv.Itoa(pid)
	})
}
