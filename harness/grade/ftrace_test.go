package grade

import (
	"testing"

	"kernellab/harness/plan"
	"kernellab/harness/trace"
)

// What the functions of ftrace say of a run, and that they say nothing of a run without it.
func TestFtraceExpressions(t *testing.T) {
	stop := func(seq int, point, symbol string) trace.Event {
		return trace.Event{Seq: seq, Kind: trace.KindStop, Point: point, Symbol: symbol, Round: 1, Role: "parent", Task: &trace.Task{Address: 1, PID: 83, TGID: 83},
			Stack: []trace.Frame{{PC: 1, Symbol: symbol, Size: 8, Trusted: true}, {PC: 2, Symbol: "caller", Offset: 4, Size: 8, Trusted: true}}}
	}
	f := &trace.Ftrace{
		On: true, Tracer: "function", Ran: true, Lost: 2, Filter: []string{"__x64_sys_clone", "do_x.isra.0"}, Events: []string{"sched:sched_process_exit"}, Options: []string{"sym-offset"},
		Script: []trace.ScriptLine{{Line: 1, Text: "a"}, {Line: 2, Text: "b", Problem: "no b", Instead: "c"}, {Line: 3, Problem: "no d"}},
		Records: []trace.FtraceRecord{
			{PID: 83, Function: "__x64_sys_clone", Caller: "caller+0x4/0x8", Stack: []string{"__x64_sys_clone+0x5/0x8", "caller+0x4/0x8"}},
			{PID: 83, Function: "kernel_clone", Caller: "other+0x4/0x8", Stack: []string{"kernel_clone+0x5/0x8", "other+0x4/0x8"}},
			{PID: 84, Event: "sched_process_exit", Text: "comm=x pid=84"}, {PID: 84, Event: "signal_generate", Text: "sig=17 pid=83"},
		},
	}
	tr := &trace.Trace{
		Header: trace.Header{Points: []trace.Point{{Point: "sys_clone", Symbol: "__x64_sys_clone"}, {Point: "kernel_clone", Symbol: "kernel_clone"}}},
		Events: []trace.Event{stop(1, "sys_clone", "__x64_sys_clone"), stop(2, "kernel_clone", "kernel_clone"), {Seq: 3, Kind: trace.KindFtrace, Ftrace: f}},
	}
	rules := Rules{Points: []plan.Point{
		{Name: "sys_clone", Role: "parent", Entry: true, Step: true}, {Name: "kernel_clone", Role: "parent", Step: true}, {Name: "do_exit", Role: "parent", Step: true},
	}}
	r := round{number: 1, stops: tr.Events[:2]}
	for src, want := range map[string]any{
		`ftrace.on and ftrace.ran and ftrace.tracer == "function"`: true,
		`ftrace.lost`:                                     2,
		`ftrace.failed`:                                   2,
		`ftrace.problem`:                                  "line 2: no b; right here: c",
		`traced("sys_clone")`:                             true,
		`traced("do_x")`:                                  true,
		`traced("kernel_clone")`:                          false,
		`enabled("sched_process_exit")`:                   true,
		`enabled("process_exit")`:                         false,
		`option("sym-offset")`:                            true,
		`option("func_stack_trace")`:                      false,
		`agrees("sys_clone")`:                             true,
		`agrees("kernel_clone")`:                          false, // by another caller
		`agrees("do_exit")`:                               nil,
		`events("sched_process_exit", 84)`:                1,
		`events("signal_generate", 83)`:                   1, // about it
		`events("signal_generate", parent.pid, "sig=17")`: 1,
		`events("signal_generate", 84, "sig=1")`:          0,
		`events("sched_process_exit", 83)`:                0,
	} {
		if err := rules.checkExpr(src, ""); err != nil {
			t.Errorf("%s: %v", src, err)
		}
		v := &view{trace: tr, rules: rules}
		got, err := v.eval(src, nil, r)
		if (err != nil) != (want == nil) || err == nil && got != want {
			t.Errorf("%s is %v, %v, want %v", src, got, err, want)
		}
		bare := &view{trace: &trace.Trace{Header: tr.Header, Events: tr.Events[:2]}, rules: rules}
		if got, err := bare.eval(src, nil, r); err == nil {
			t.Errorf("without ftrace %s is %v", src, got)
		}
	}
	for _, src := range []string{`agrees("x")`, `traced(1)`, `events("e")`, `ftrace.x`, `enabled("a", "b")`} {
		if err := rules.checkExpr(src, ""); err == nil {
			t.Errorf("%s holds", src)
		}
	}
}
