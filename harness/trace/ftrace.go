package trace

// Ftrace is what the kernel's own tracer recorded while the program ran, and the script
// that set it up.
type Ftrace struct {
	Script []ScriptLine `json:"script"`
	// Ran says that the script ran the program. Otherwise the program ran after it.
	Ran bool `json:"ran"`

	// The settings when the program began, as the kernel has them.
	On      bool     `json:"on"`     // tracing_on
	Tracer  string   `json:"tracer"` // current_tracer
	All     bool     `json:"all"`    // the filter is empty: every function is traced
	Filter  []string `json:"filter"` // set_ftrace_filter
	Events  []string `json:"events"` // set_event: SYSTEM:NAME
	Options []string `json:"options"`
	// Untraceable are the symbols of the lab's points that this kernel's ftrace cannot
	// trace: available_filter_functions does not have them.
	Untraceable []string `json:"untraceable"`

	// Records are those of the kernel's buffer when the program had ended, oldest first.
	Records []FtraceRecord `json:"records"`
	// Lost is the number of records that are not in Records: the buffer had no room for
	// them, or the trace has not.
	Lost int `json:"lost,omitempty"`
}

// ScriptLine is what became of a line of a script.
type ScriptLine struct {
	Line int    `json:"line"` // from 1
	Text string `json:"text"`
	// Effect is what the kernel has after the line, read from it, "" for a line that
	// changes nothing.
	Effect string `json:"effect,omitempty"`
	// Problem says why the line failed, and Instead what would have been right, "" where
	// that is not known.
	Problem string `json:"problem,omitempty"`
	Instead string `json:"instead,omitempty"`
	// Skipped says that the line was not run, because an earlier one failed.
	Skipped bool `json:"skipped,omitempty"`
}

// FtraceRecord is a record of ftrace: a call of a function, or an event.
type FtraceRecord struct {
	Comm string `json:"comm"`
	PID  int    `json:"pid"` // of the thread
	CPU  int    `json:"cpu"`
	// Time is the record's time by the tracer's clock, in µs.
	Time int64 `json:"time_us"`
	// Function was called by Caller. Both are "" for an event.
	Function string `json:"function,omitempty"`
	Caller   string `json:"caller,omitempty"`
	// Event is an event's name, and Text what the kernel says about it.
	Event string `json:"event,omitempty"`
	Text  string `json:"text,omitempty"`
	// Stack is the stack that was recorded with it, innermost frame first, as the kernel
	// wrote it: "kernel_clone+0x9c/0x3f0", or without the offsets.
	Stack []string `json:"stack,omitempty"`
}

// Ftrace returns what ftrace recorded in the run, nil for a run without it.
func (t *Trace) Ftrace() *Ftrace {
	for _, e := range t.Events {
		if e.Kind == KindFtrace {
			return e.Ftrace
		}
	}
	return nil
}
