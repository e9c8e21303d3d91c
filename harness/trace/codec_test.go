package trace_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/harness/trace"
)

// sample is a short run with every kind of event and every field.
func sample() *trace.Trace {
	task := &trace.Task{Address: 0xffff888003a28000, PID: 83, TGID: 83, Comm: "fork-new"}
	return &trace.Trace{
		Header: trace.Header{
			Schema: trace.Schema, Lab: "fork-new", Arch: "x86_64",
			Kernel:  trace.Kernel{Release: "6.1.0-50-cloud-amd64", Banner: "Linux version 6.1.0-50-cloud-amd64", SHA256: strings.Repeat("ab", 32)},
			Program: trace.Program{Name: "fork-new", SHA256: strings.Repeat("cd", 32), Args: []string{"-v"}, Script: "echo 1 > tracing_on\nfork-new\n", Limit: 1e10},
			Machine: trace.Machine{QEMU: "10.0.13", Seed: 2, CPUs: 1, Args: []string{"-M", "pc"}, Initramfs: strings.Repeat("ef", 32)},
			Plan:    strings.Repeat("01", 32),
			Points: []trace.Point{
				{Point: "sys_clone", Symbol: "__x64_sys_clone", Address: 0xffffffff81095fd0, Why: "the first candidate that the kernel has", Source: "kernel/fork.c:2970"},
				{Point: "dup_task_struct", Symbol: "dup_task_struct", Address: 0xffffffff81096f72, Why: "it is inlined", Inlined: "copy_process", Source: "kernel/fork.c:991"},
			},
			Sizes:       map[string]int{"pt_regs": 168, "stack_top": 168},
			SwitchFrame: 0x38,
			Roles:       map[string]string{"pc": "rip", "sp": "rsp", "ret": "rax"},
		},
		Events: []trace.Event{
			{Seq: 1, Kind: trace.KindProgram, Time: 1e6, Task: task},
			{
				Seq: 2, Kind: trace.KindStop, Time: 2e6, Point: "sys_clone", Symbol: "__x64_sys_clone",
				Address: 0xffffffff81095fd0, Task: task, Role: "parent", Round: 1,
				Registers: map[string]trace.Word{"rip": 0xffffffff81095fd0, "rsp": 0xffffc9000020ff40},
				Args:      []trace.Arg{{Name: "clone_flags", Type: "unsigned long", Value: 17}},
				Reads:     map[string]trace.Word{"flags": 0}, Unread: map[string]string{"start": "address 0x30: E14"},
				Stack: []trace.Frame{
					{PC: 0xffffffff81095fd0, SP: 0xffffc9000020ff40, Symbol: "__x64_sys_clone", Size: 0x40, Trusted: true, Interrupted: true},
					{
						PC: 0xffffffff81c00086, SP: 0xffffc9000020ff50, Symbol: "do_syscall_x64", Size: 0x180, Offset: 0x87, Trusted: true,
						Inlined: true, File: "arch/x86/entry/common.c", Line: 47,
						Variables: []trace.Variable{{Name: "nr", Type: "int", Arg: true, Text: "56"}, {Name: "unr", Type: "unsigned int", Unread: "optimized out"}},
					},
					{PC: 0x401000, SP: 0x7ffc0000, User: true, Trusted: true}, {PC: 0x10, Doubt: "the stack loops"},
				},
				Stacks: []trace.StackImage{{
					Task: *task, Role: "child", Bottom: 0xffffc9000020c000, Top: 0xffffc90000210000, Magic: 0x57ac6e9d,
					User: []trace.Slot{{Name: "ax", Address: 0xffffc9000020ffa8}}, Switch: []trace.Slot{{Name: "thread.sp"}},
					Unread: map[string]string{"stack": "E14"},
				}},
				Fields: map[string]trace.Field{"task_struct.pid": {Offset: 1256, Size: 4, Type: "pid_t"}},
			},
			{Seq: 3, Kind: trace.KindStop, Time: 3e6, Point: "sys_clone", Symbol: "__x64_sys_clone", Aside: "another task", CPU: 1},
			{Seq: 4, Kind: trace.KindFtrace, Time: 4e6, Ftrace: &trace.Ftrace{
				Script: []trace.ScriptLine{{Line: 1, Text: "echo 1 > tracing_on", Effect: "tracing_on has 1", Problem: "p", Instead: "i"}, {Line: 2, Text: "fork-new", Skipped: true}},
				Ran:    true, On: true, Tracer: "function", All: true, Filter: []string{"kernel_clone"}, Events: []string{"sched:sched_switch"},
				Options: []string{"sym-offset"}, Untraceable: []string{"ret_from_fork"}, Lost: 3,
				Records: []trace.FtraceRecord{
					{Comm: "fork-new", PID: 83, CPU: 1, Time: 5, Function: "kernel_clone", Caller: "__do_sys_clone+0x1/0x2", Stack: []string{"kernel_clone+0x1/0x2"}},
					{Comm: "fork-new", PID: 83, Time: 5, Event: "sched_process_exit", Text: "comm=x"},
				},
			}},
			{Seq: 5, Kind: trace.KindExit, Time: 4e6, Exit: &trace.Exit{Code: 1, Signal: "SIGSEGV", TimedOut: true, Stuck: true, Limit: 3e9, Output: "This is Child Process!\n", Dropped: 3, Leftover: 1}},
			{Seq: 6, Kind: trace.KindEnd, Time: 5e6},
		},
	}
}

func encode(t testing.TB, tr *trace.Trace) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, tr.Header)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tr.Events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	got, err := trace.Read(bytes.NewReader(encode(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	if !got.Complete() {
		t.Error("a trace with its end event is not complete")
	}
}

func TestWriterAssignsSeqAndEnds(t *testing.T) {
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, trace.Header{Lab: "fork-new", Arch: "riscv64"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(trace.Event{Seq: 99, Kind: trace.KindEnd}); err != nil {
		t.Fatal(err)
	}
	if w.Seq() != 1 {
		t.Errorf("Seq() = %d, want 1", w.Seq())
	}
	if err := w.Write(trace.Event{Kind: trace.KindEnd}); err == nil {
		t.Error("an event after the end was written")
	}
	if _, err := trace.Read(&b); err != nil {
		t.Errorf("read back: %v", err)
	}
}

func TestTruncated(t *testing.T) {
	whole := encode(t, sample())
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for n := 1; n < len(lines)-1; n++ {
		for _, tail := range []string{"", `{"seq":`} {
			in := string(bytes.Join(lines[:n], nil)) + tail
			tr, err := trace.Read(strings.NewReader(in))
			if err != nil {
				t.Errorf("%d lines and %q: %v", n, tail, err)
				continue
			}
			if tr.Complete() || len(tr.Events) != n-1 {
				t.Errorf("%d lines and %q: complete %v with %d events", n, tail, tr.Complete(), len(tr.Events))
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	const head = `{"schema":"lab.trace/2","lab":"l","arch":"x86_64"}` + "\n"
	tests := map[string]struct{ in, want string }{
		"nothing":          {"", "empty trace"},
		"not a trace":      {"hello\n", `line 1: no "lab.trace/2" header`},
		"another document": {`{"schema":"lab.verdict/1"}` + "\n", "line 1: schema \"lab.verdict/1\" is not a trace"},
		"an older version": {`{"schema":"lab.trace/1"}` + "\n", "record the trace again"},
		"a newer version":  {`{"schema":"lab.trace/3"}` + "\n", "record the trace again"},
		"a torn header":    {`{"schema":"lab.tr`, "line 1: the header is truncated"},
		"no lab":           {`{"schema":"lab.trace/2","arch":"x86_64"}` + "\n", "line 1: the header names no lab"},
		"unknown field":    {`{"schema":"lab.trace/2","lab":"l","arch":"a","oops":1}` + "\n", `line 1: unknown field "oops"`},
		"unknown in event": {head + `{"seq":1,"kind":"end","oops":1}` + "\n", `line 2: unknown field "oops"`},
		"unknown kind":     {head + `{"seq":1,"kind":"pause"}` + "\n", `line 2: unknown kind "pause"`},
		"a gap":            {head + `{"seq":2,"kind":"end"}` + "\n", "line 2: seq 2, want 1"},
		"after the end":    {head + `{"seq":1,"kind":"end"}` + "\n" + `{"seq":2,"kind":"end"}` + "\n", "line 3: a line follows the end"},
		"a stop nowhere":   {head + `{"seq":1,"kind":"stop"}` + "\n", "line 2: a stop without a point"},
		"an untold exit":   {head + `{"seq":1,"kind":"exit"}` + "\n", "line 2: an exit event without exit"},
		"no task":          {head + `{"seq":1,"kind":"program"}` + "\n", "line 2: a program event without a task"},
		"a bad word":       {head + `{"seq":1,"kind":"stop","point":"p","address":"0x1ffffffffffffffff"}` + "\n", "line 2: word"},
		"two on a line":    {head + `{"seq":1,"kind":"end"} {}` + "\n", "line 2: more than one JSON value"},
		"a bad line":       {head + "x\n" + `{"seq":1,"kind":"end"}` + "\n", "line 2: invalid character"},
		"a long line":      {head + strings.Repeat(" ", trace.MaxLine+2), "line 2: the line has more than 4194304 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := trace.Read(strings.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := trace.Read(strings.NewReader("")); !errors.Is(err, trace.ErrEmpty) {
		t.Errorf("empty: %v is not ErrEmpty", err)
	}
}

func TestWriteRefusesLongLine(t *testing.T) {
	w, err := trace.NewWriter(&bytes.Buffer{}, trace.Header{Lab: "l", Arch: "a"})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(trace.Event{Kind: trace.KindExit, Exit: &trace.Exit{Output: strings.Repeat("x", trace.MaxLine)}})
	if err == nil || !strings.Contains(err.Error(), "which is more than") {
		t.Errorf("error %v, want one about the limit", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add([]byte(`{"schema":"lab.trace/2","lab":"l","arch":"a"}` + "\n" + `{"seq":1,"kind":"end"}`))
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := trace.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := trace.Read(bytes.NewReader(encode(t, tr)))
		if err != nil {
			t.Fatalf("what was read can not be read again: %v", err)
		}
		if diff := cmp.Diff(tr.Events, again.Events, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("events (-first +again):\n%s", diff)
		}
	})
}
