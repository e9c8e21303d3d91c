package contradiction_test

import (
	"errors"
	"slices"
	"testing"

	"kernellab/harness/contradiction"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
)

// What ftrace recorded agrees with the script in the header, with its own settings, and
// with time.
func TestFtrace(t *testing.T) {
	record := func(cpu int, us int64) trace.FtraceRecord {
		return trace.FtraceRecord{Comm: "fork-new", PID: 83, CPU: cpu, Time: us, Function: "kernel_clone", Caller: "f"}
	}
	for name, c := range map[string]struct {
		break_ func(tr *trace.Trace, f *trace.Ftrace)
		field  string
	}{
		"good":                        {break_: func(*trace.Trace, *trace.Ftrace) {}},
		"no script":                   {func(tr *trace.Trace, _ *trace.Ftrace) { tr.Header.Program.Script = "" }, "ftrace"},
		"another line":                {func(_ *trace.Trace, f *trace.Ftrace) { f.Script[1].Text = "cat trace" }, "ftrace.script[1].text"},
		"a line twice":                {func(_ *trace.Trace, f *trace.Ftrace) { f.Script[1] = f.Script[0] }, "ftrace.script[1].line"},
		"a line too many":             {func(_ *trace.Trace, f *trace.Ftrace) { f.Script[1].Line = 9 }, "ftrace.script[1].line"},
		"an empty filter with a name": {func(_ *trace.Trace, f *trace.Ftrace) { f.All = true }, "ftrace.filter"},
		"less than nothing lost":      {func(_ *trace.Trace, f *trace.Ftrace) { f.Lost = -1 }, "ftrace.lost"},
		"a record of nothing":         {func(_ *trace.Trace, f *trace.Ftrace) { f.Records[1].Function = "" }, "ftrace.records[1]"},
		"a record of both":            {func(_ *trace.Trace, f *trace.Ftrace) { f.Records[1].Event = "e" }, "ftrace.records[1]"},
		"time runs back":              {func(_ *trace.Trace, f *trace.Ftrace) { f.Records[2].Time = 4 }, "ftrace.records[2].time_us"},
		"on two processors":           {break_: func(_ *trace.Trace, f *trace.Ftrace) { f.Records[2] = record(1, 1) }},
		"another event has it":        {func(tr *trace.Trace, f *trace.Ftrace) { tr.Events[1].Ftrace = f }, "ftrace"},
		"after the program's end": {func(tr *trace.Trace, _ *trace.Ftrace) {
			n := len(tr.Events)
			e := &tr.Events[n-3]
			tr.Events[n-3], tr.Events[n-2] = tr.Events[n-2], *e
			tr.Events[n-3].Seq, tr.Events[n-2].Seq = n-2, n-1
		}, "kind"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tracetest.Fork("x86_64")
			tr.Header.Program.Script = "# one\ncd /x\n  fork-new"
			f := &trace.Ftrace{
				Script: []trace.ScriptLine{{Line: 2, Text: "cd /x"}, {Line: 3, Text: "fork-new"}}, Ran: true,
				Filter: []string{"kernel_clone"}, Records: []trace.FtraceRecord{record(0, 1), record(0, 5), record(0, 5)},
			}
			at := len(tr.Events) - 2 // in front of the exit
			tr.Events = slices.Insert(tr.Events, at, trace.Event{Kind: trace.KindFtrace, Time: tr.Events[at].Time, Ftrace: f})
			for i := range tr.Events {
				tr.Events[i].Seq = i + 1
			}
			c.break_(tr, f)
			err := contradiction.Check(tr, plan(t))
			var wrong *contradiction.Error
			switch {
			case c.field == "" && err != nil:
				t.Error(err)
			case c.field != "" && (!errors.As(err, &wrong) || wrong.Field != c.field):
				t.Errorf("%v, want a contradiction in %s", err, c.field)
			}
		})
	}
}
