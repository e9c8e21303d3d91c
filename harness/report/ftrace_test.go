package report_test

import (
	"bytes"
	"strings"
	"testing"

	"kernellab/harness/ftrace"
	"kernellab/harness/report"
	"kernellab/harness/trace"
)

// The page says of each line and each stop what there is to say, and what was lost.
func TestFtracePage(t *testing.T) {
	task := &trace.Task{PID: 83, Comm: "x\x1b[31m"}
	row := func(c string) ftrace.Row {
		return ftrace.Row{Stop: &trace.Event{Point: "p", Symbol: "do_p", Role: "parent", Task: task}, Case: c, Frames: 4, Differ: [2]string{"a+0x1/0x2", ""}}
	}
	same := row(ftrace.SameStack)
	same.Record = &trace.FtraceRecord{}
	rows := []ftrace.Row{
		same, row(ftrace.OtherStack), row(ftrace.Off), row(ftrace.NoTracer), row(ftrace.NotFiltered), row(ftrace.Untraceable),
		row(ftrace.NoEntry), row(ftrace.NotRecorded),
	}
	f := &trace.Ftrace{Lost: 7, Records: []trace.FtraceRecord{
		{PID: 83, Event: "sched_process_exit", Text: "comm=x pid=83", Time: 100}, {PID: 1, Event: "signal_generate", Text: "sig=17 comm=x pid=83", Time: 105},
		{PID: 1, Event: "sched_process_exit", Text: "comm=y pid=1"}, {PID: 83, Event: "sched_switch"}, {PID: 83, Event: "sched_switch"},
	}}
	var b bytes.Buffer
	page := report.NewFtrace(&b, report.Style{Width: 200})
	page.Head("fork-new", "x86_64", "6.1")
	page.Line(trace.ScriptLine{Line: 3, Text: "echo sys_clone > f", Effect: "f has nothing", Problem: "sys_clone is not in it", Instead: "__x64_sys_clone"}, "")
	page.Line(trace.ScriptLine{Line: 4, Text: "cat f", Skipped: true}, "")
	page.Line(trace.ScriptLine{Line: 5, Text: "cat g"}, "one\n"+strings.Repeat("more\n", 50))
	page.Compared(&trace.Trace{Header: trace.Header{Program: trace.Program{Name: "fork-new"}}, Events: []trace.Event{{Kind: trace.KindFtrace, Ftrace: f}}}, rows,
		[]trace.FtraceRecord{{Function: "do_a"}, {Function: "do_b"}, {Function: "do_b"}})
	text := strings.Join(strings.Fields(b.String()), " ") // however it is folded
	for _, want := range []string{
		"ftrace of fork-new on x86_64 Linux 6.1", "✗   3 echo sys_clone > f\n", "        sys_clone is not in it\n", "right here: __x64_sys_clone\n", "f has nothing\n",
		"–   4 cat f\n        not run: a line before it failed", "        | one\n", "        | and 11 lines more\n",
		"The script did not run the program", "✓ p ", "the same call, with the same stack of 4 functions",
		"✗ p ", "frame 4 is a+0x1/0x2 at the breakpoint and the stack's end in ftrace's record",
		"no record: tracing_on was 0", "no record: current_tracer was not function", "no record: set_ftrace_filter does not have do_p",
		"no record: available_filter_functions does not have do_p", "this stop is inside one", "no record, though the filter has do_p",
		"ftrace has the same call at 1 of the 8 stops.", "It recorded 3 more calls", "do_b (2), do_a (1).", "       0 µs  83[", "       5 µs  1[] signal_generate: sig=17",
		"and 2 times sched_switch", "7 records are missing",
	} {
		if !strings.Contains(text, strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(b.String(), "\x1b") || strings.Contains(text, "comm=y") || page.Err() != nil {
		t.Errorf("%v", page.Err())
	}
	if t.Failed() {
		t.Log(b.String())
	}
	b.Reset()
	if page.Compared(&trace.Trace{}, nil, nil); !strings.Contains(b.String(), "ftrace was not read") {
		t.Error(b.String())
	}
}
