package ftrace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/trace"
)

// What a line of a script is, and what is said of one that is not of the language.
func TestParse(t *testing.T) {
	const cd = "cd /sys/kernel/tracing\n"
	for name, c := range map[string]struct {
		script           string
		kind, file, text string // of the last line
		append           bool
		problem, instead string // words of them
	}{
		"a write":               {script: cd + "echo 1 > tracing_on", kind: kindWrite, file: "tracing_on", text: "1\n"},
		"appended":              {script: cd + "echo 'a b' c\\* >> set_event", kind: kindWrite, file: "set_event", text: "a b c*\n", append: true},
		"without a newline":     {script: cd + `echo -n "x" > set_event`, kind: kindWrite, file: "set_event", text: "x"},
		"an empty write":        {script: cd + "echo > trace", kind: kindWrite, file: "trace", text: "\n"},
		"a pattern":             {script: cd + "echo copy_* > set_ftrace_filter", kind: kindWrite, file: "set_ftrace_filter", text: "copy_*\n"},
		"a whole name":          {script: "echo 1 > /sys/kernel/debug/tracing/events/sched/sched_switch/enable # on", kind: kindWrite, file: "events/sched/sched_switch/enable", text: "1\n"},
		"in a folder":           {script: "cd /sys/kernel/tracing/events/sched\necho 1 > enable", kind: kindWrite, file: "events/sched/enable", text: "1\n"},
		"cat":                   {script: cd + "cat available_tracers", kind: kindCat, file: "available_tracers"},
		"the program":           {script: "fork-new", kind: kindProgram},
		"set -e":                {script: "set -e", kind: kindStop},
		"the program twice":     {script: "fork-new\nfork-new", kind: kindProgram, problem: "runs once"},
		"an argument":           {script: "fork-new 1", kind: kindProgram, problem: "no arguments"},
		"another program":       {script: "fork-nwe", problem: "no such command", instead: "fork-new"},
		"no cd":                 {script: "echo 1 > tracing_on", kind: kindWrite, text: "1\n", problem: "/root/tracing_on is no file", instead: "/sys/kernel/tracing/tracing_on"},
		"a descriptor":          {script: cd + "echo 1> tracing_on", kind: kindWrite, text: "\n", problem: "1> redirects the file descriptor 1", instead: "a space"},
		"to nowhere":            {script: cd + "echo 1", kind: kindWrite, text: "1\n", problem: "writes to no file"},
		"a misspelt file":       {script: cd + "echo 1 > tracing_onn", kind: kindWrite, text: "1\n", problem: "tracing_onn is not among", instead: "tracing_on"},
		"an option of printing": {script: cd + "echo 1 > options/raw", kind: kindWrite, file: "options/raw", text: "1\n", problem: "raw is not among the options"},
		"one in a list":         {script: cd + "echo sym-offset nosym-ofset > trace_options", kind: kindWrite, file: "trace_options", text: "sym-offset nosym-ofset\n", problem: "sym-ofset", instead: "sym-offset"},
		"the record":            {script: cd + "echo 'x-1 [000] 1.000000: f <-g' > trace_marker", kind: kindWrite, text: "x-1 [000] 1.000000: f <-g\n", problem: "trace_marker is not among"},
		"events of its own":     {script: cd + "echo 'p do_exit' > kprobe_events", kind: kindWrite, text: "p do_exit\n", problem: "kprobe_events is not among"},
		"a way out":             {script: cd + "echo x > ../../../etc/passwd", kind: kindWrite, text: "x\n", problem: "/etc/passwd is no file of tracefs"},
		"another way out":       {script: "cat /proc/kallsyms", kind: kindCat, problem: "/proc/kallsyms is no file of tracefs"},
		"a substitution":        {script: cd + "echo $(id) > set_event", problem: "no variables and no substitutions"},
		"a variable":            {script: cd + `echo "$x" > set_event`, problem: "no variables and no substitutions"},
		"a pipe":                {script: "cat trace | head", problem: "more of the shell"},
		"two commands":          {script: "cd /x; cd /y", problem: "2 commands"},
		"in the background":     {script: "fork-new &", problem: "more of the shell"},
		"no shell":              {script: "echo 'a", problem: "the shell cannot read the line"},
		"input":                 {script: "cat < trace", problem: "only echo writes"},
		"cd elsewhere":          {script: "cd /tmp", kind: kindCD, problem: "a folder of tracefs"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := Parse("fork-new", []byte("#!/bin/sh\n\n"+c.script+"\n"))
			l := lines[len(lines)-1]
			if l.problem == "" && l.kind != c.kind || l.text != c.text || l.append != c.append || l.problem == "" && l.file != c.file {
				t.Errorf("%+v, want %+v", l, c)
			}
			if (l.problem == "") != (c.problem == "") || !strings.Contains(l.problem, c.problem) || !strings.Contains(l.instead, c.instead) {
				t.Errorf("problem %q, right %q; want %q, %q", l.problem, l.instead, c.problem, c.instead)
			}
			if n := strings.Count(c.script, "\n") + 3; l.Number != n {
				t.Errorf("line %d, want %d", l.Number, n)
			}
			if l.Program() != (c.kind == kindProgram && c.problem == "") || l.Strict() != (c.kind == kindStop) {
				t.Errorf("%+v: program %v, strict %v", l, l.Program(), l.Strict())
			}
		})
	}
	if lines := Parse("x", []byte(strings.Repeat("set -e\n", maxLines+9))); len(lines) != maxLines+1 || lines[maxLines].problem == "" {
		t.Errorf("%d lines", len(lines))
	}
}

// A script may name no file outside tracefs, whatever is written in it.
func FuzzParse(f *testing.F) {
	f.Add("cd /sys/kernel/tracing\necho 1 > tracing_on\nfork-new\n")
	f.Add("echo \"a\\\"b\" '' >> /sys/kernel/debug/tracing/../../x")
	f.Fuzz(func(t *testing.T, script string) {
		ran := 0
		for _, l := range Parse("fork-new", []byte(script)) {
			if l.Program() {
				ran++
			}
			if l.problem == "" && (l.kind == kindWrite && !matches(files, l.file) || l.file != path.Clean("/" + l.file)[1:]) {
				t.Errorf("%+v", l)
			}
		}
		if ran > 1 {
			t.Errorf("the program runs %d times", ran)
		}
	})
}

// refusal is what the fake guest's kernel says.
type refusal string

func (r refusal) Error() string { return string(r) }

// fake is a guest's tracefs: files with lines. It takes names that are available, as the
// kernel does.
type fake struct {
	files  map[string][]string
	broken error
}

func newFake() *fake {
	f := &fake{files: map[string][]string{
		"tracing_on": {"1"}, "current_tracer": {"nop"}, "trace": {"# tracer: nop"}, "set_event": {}, "set_ftrace_filter": {"#### all functions enabled ####"},
		"available_filter_functions": {"do_exit", "__x64_sys_clone", "__ia32_sys_clone", "kernel_clone", "copy_process", "copy_thread", "__x64_sys_sethostname"},
		"available_tracers":          {"function nop"}, "available_events": {"sched:sched_switch", "sched:sched_process_exit", "signal:signal_generate"},
		"trace_options": {"nosym-offset", "norecord-cmd"}, "events/sched/sched_switch/enable": {"0"}, "set_event_pid": {}, "options/stacktrace": {"0"},
	}}
	for i := range MaxTraced + 1 {
		f.files["available_filter_functions"] = append(f.files["available_filter_functions"], fmt.Sprintf("many_%d", i))
	}
	return f
}

func (f *fake) MountTracing(context.Context) error { return f.broken }

func (f *fake) ReadFile(_ context.Context, name string) ([]byte, error) {
	lines, ok := f.files[strings.TrimPrefix(name, Dir+"/")]
	if !ok {
		return nil, refusal("open " + name + ": no such file or directory")
	}
	return []byte(strings.Join(lines, "\n") + "\n"), f.broken
}

func (f *fake) WriteTracing(_ context.Context, name, text string, end bool) error {
	file := strings.TrimPrefix(name, Dir+"/")
	if f.broken != nil {
		return f.broken
	}
	if _, ok := f.files[file]; !ok {
		return refusal("open " + name + ": no such file or directory")
	}
	known := map[string]string{"set_ftrace_filter": "available_filter_functions", "set_event": "available_events"}[file]
	if !end && known != "" || file == "set_event_pid" {
		f.files[file] = nil
	}
	for _, w := range strings.Fields(text) {
		gone, takes := strings.CutPrefix(w, "!")
		switch {
		case known != "" && takes:
			f.files[file] = slices.DeleteFunc(f.files[file], func(k string) bool { return matchesName(gone, k) })
		case known != "":
			before := len(f.files[file])
			for _, k := range f.files[known] {
				if matchesName(w, k) || matchesEvent(w, k) && file == "set_event" {
					f.files[file] = append(f.files[file], k)
				}
			}
			if len(f.files[file]) == before {
				return refusal("write " + name + ": invalid argument")
			}
		case file == "current_tracer" && !strings.Contains(f.files["available_tracers"][0], w):
			return refusal("write " + name + ": invalid argument")
		case file == "trace_options":
			i := slices.Index(f.files[file], "no"+w)
			if i < 0 {
				return refusal("write " + name + ": invalid argument")
			}
			f.files[file][i] = w
		case file == "tracing_on" && w != "0":
			f.files[file] = []string{"1"} // whatever number it is
		default:
			f.files[file] = []string{w}
		}
	}
	return nil
}

// Each line's effect is read from the kernel, and one that fails is told with what would
// have been right.
func TestSession(t *testing.T) {
	for name, c := range map[string]struct {
		line                    string
		effect, problem, better string // words of them
	}{
		"switched off":      {"echo 0 > tracing_on", "tracing_on has 0", "", ""},
		"another number":    {"echo 5 > tracing_on", "", `tracing_on has "1" after it, not "5"`, "1 or 0"},
		"a filter":          {"echo copy_process kernel_clone > set_ftrace_filter", "has copy_process, kernel_clone", "", ""},
		"a pattern":         {"echo copy_* > set_ftrace_filter", "has copy_process", "", ""},
		"another's name":    {"echo sys_clone > set_ftrace_filter", "every function is traced", "sys_clone is not in available_filter_functions", "__x64_sys_clone"},
		"a prefix":          {"echo thread > set_ftrace_filter", "", "thread is not in", "copy_thread"},
		"nothing like it":   {"echo no_such_function > set_ftrace_filter", "every function is traced", "no_such_function is not in", ""},
		"a slip":            {"echo copy_proces kernel_clone > set_ftrace_filter", "", "copy_proces is not in available_filter_functions; the words after it are not written", "copy_process"},
		"an event":          {"echo sched_switch > set_event", "sched:sched_switch enabled", "", ""},
		"a system's":        {"echo signal:* >> set_event", "signal:signal_generate enabled", "", ""},
		"no event":          {"echo sched_swich > set_event", "no event enabled", "sched_swich is not in available_events", "sched:sched_switch"},
		"a tracer":          {"echo kernel_clone > set_ftrace_filter\necho function > current_tracer", "current_tracer has function", "", ""},
		"no filter":         {"echo function > current_tracer", "", "every function would be traced", "and set the tracer then"},
		"a filter emptied":  {"echo do_exit > set_ftrace_filter\necho function > current_tracer\necho > set_ftrace_filter", "", "every function would be traced", ""},
		"a filter taken":    {"echo do_exit > set_ftrace_filter\necho function > current_tracer\necho '!do_exit' >> set_ftrace_filter", "", "every function would be traced", ""},
		"too wide a filter": {"echo many_* > set_ftrace_filter\necho function > current_tracer", "", "2001 functions would be traced, and a script of lab has 2000 at most", "narrower patterns"},
		"a filter widened":  {"echo do_exit > set_ftrace_filter\necho function > current_tracer\necho many_* >> set_ftrace_filter", "", "2001 functions would be traced", ""},
		"a filter's change": {"echo do_exit > set_ftrace_filter\necho function > current_tracer\necho copy_* > set_ftrace_filter", "has copy_process", "", ""},
		"lab's function":    {"echo *_sys_* > set_ftrace_filter\necho function > current_tracer", "", "__x64_sys_sethostname would be traced, and lab stops the guest there", "echo '!__x64_sys_sethostname' >> set_ftrace_filter"},
		"without lab's":     {"echo *_sys_* > set_ftrace_filter\necho '!__x64_sys_sethostname' >> set_ftrace_filter\necho function > current_tracer", "current_tracer has function", "", ""},
		"a command":         {"echo *:traceoff > set_ftrace_filter", "", "*:traceoff is a command of ftrace's", "names of functions"},
		"the tracer off":    {"echo nop > current_tracer", "current_tracer has nop", "", ""},
		"no tracer":         {"echo functoin > current_tracer", "", "functoin is not in available_tracers, and current_tracer still has nop", "function"},
		"an option":         {"echo sym-offset > trace_options", "trace_options has sym-offset", "", ""},
		"a tracer's option": {"echo func_stack_trace > trace_options", "", "is an option of the function tracer", "echo function > current_tracer"},
		"an option's file":  {"echo 1 > options/stacktrace", "options/stacktrace has 1", "", ""},
		"no such file":      {"echo 1 > options/event-fork", "", "options/event-fork does not exist", ""},
		"an event's file":   {"echo 1 > events/sched/sched_switch/enable", "enable has 1", "", ""},
		"no event's file":   {"echo 1 > events/sched/sched_exit/enable", "", "sched:sched_exit is not in available_events", ""},
		"emptied":           {"echo > trace", "the record is empty", "", ""},
		"pids":              {"echo 5 > set_event_pid", "set_event_pid has 5", "", ""},
		"not of it":         {"echo 1 > trace_marker", "", "trace_marker is not among", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := session(newFake())
			lines := Parse("fork-new", []byte("cd "+Dir+"\n"+c.line))[1:]
			var out trace.ScriptLine
			for i, l := range lines {
				if i > 0 && out.Problem != "" {
					t.Fatalf("%+v", out)
				}
				var err error
				if out, _, err = s.Run(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			if out.Line != len(lines)+1 || !strings.HasSuffix(c.line, out.Text) || (out.Problem == "") != (c.problem == "") || !strings.Contains(out.Effect, c.effect) ||
				!strings.Contains(out.Problem, c.problem) || !strings.Contains(out.Instead, c.better) || c.problem != "" && strings.HasSuffix(c.problem, " is not in") && out.Instead != c.better {
				t.Errorf("%+v, want %+v", out, c)
			}
		})
	}
	s := session(newFake())
	out, text, err := s.Run(t.Context(), Parse("fork-new", []byte("cat "+Dir+"/available_tracers"))[0])
	if err != nil || out.Problem != "" || text != "function nop\n" {
		t.Errorf("%+v, %q, %v", out, text, err)
	}
	broken := errors.New("the guest is gone")
	s.Guest.(*fake).broken = broken
	for _, line := range []string{"echo 1 > tracing_on", "cat trace"} {
		if out, _, err := s.Run(t.Context(), Parse("fork-new", []byte("cd "+Dir+"\n"+line))[1]); !errors.Is(err, broken) {
			t.Errorf("%s: %+v, %v, want %v", line, out, err, broken)
		}
	}
}

func session(f *fake) *Session {
	return &Session{
		Guest: f,
		Refused: func(err error) string {
			var r refusal
			errors.As(err, &r)
			return string(r)
		},
		Reserved: "__x64_sys_sethostname",
		Symbol: func(function string) string {
			return map[string]string{"sys_clone": "__x64_sys_clone", "dup_task_struct": "arch_dup_task_struct"}[function]
		},
	}
}

// What reading the record does is not recorded: it would have no end.
func TestRecordStops(t *testing.T) {
	f, into := newFake(), trace.Ftrace{}
	if _, err := session(f).Record(t.Context(), 7, &into); err != nil || !slices.Equal(f.files["tracing_on"], []string{"0"}) {
		t.Errorf("%v; tracing_on has %v", err, f.files["tracing_on"])
	}
}

func TestSettings(t *testing.T) {
	s := session(newFake())
	for _, line := range []string{"echo do_exit > set_ftrace_filter", "echo function > current_tracer", "echo sched_switch > set_event", "echo sym-offset > trace_options"} {
		if out, _, err := s.Run(t.Context(), Parse("x", []byte("cd "+Dir+"\n"+line))[1]); err != nil || out.Problem != "" {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Settings(t.Context(), []string{"do_exit", "ret_from_fork", "ret_from_fork"})
	want := &trace.Ftrace{
		On: true, Tracer: "function", Filter: []string{"do_exit"}, Events: []string{"sched:sched_switch"}, Options: []string{"sym-offset"},
		Untraceable: []string{"ret_from_fork"}, Script: []trace.ScriptLine{}, Records: []trace.FtraceRecord{},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
	if got, err := session(newFake()).Settings(t.Context(), nil); err != nil || !got.All || len(got.Filter) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// What two kernels have written.
func TestParseRecord(t *testing.T) {
	for arch, c := range map[string]struct {
		records int
		clone   trace.FtraceRecord // of kernel_clone
	}{
		"x86_64": {7, trace.FtraceRecord{
			Comm: "fork-new", PID: 87, Time: 8795296, Function: "kernel_clone", Caller: "__do_sys_clone+0x7b/0xb0",
			Stack: []string{"0xffffffffc0201083", "kernel_clone+0x5/0x430", "__do_sys_clone+0x7b/0xb0", "do_syscall_64+0x5d/0x90", "entry_SYSCALL_64_after_hwframe+0x6e/0xd8"},
		}},
		"riscv64": {8, trace.FtraceRecord{
			Comm: "fork-new", PID: 121, Time: 10961893, Function: "kernel_clone", Caller: "__do_sys_clone+0x74/0x92",
			Stack: []string{"ftrace_call+0x8/0x2c", "__riscv_sys_clone+0x24/0x2c", "do_trap_ecall_u+0x94/0x1ea", "handle_exception+0x14a/0x156"},
		}},
	} {
		t.Run(arch, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + arch + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			records, lost := ParseRecord(string(text), 1)
			if len(records) != c.records || lost != 0 {
				t.Errorf("%d records and %d lost, want %d and 0", len(records), lost, c.records)
			}
			i := slices.IndexFunc(records, func(r trace.FtraceRecord) bool { return r.Function == "kernel_clone" })
			if diff := cmp.Diff(c.clone, records[i]); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			i = slices.IndexFunc(records, func(r trace.FtraceRecord) bool { return r.Event == "sched_process_fork" })
			fork := records[i]
			if child, ok := Field(fork.Text, "child_pid"); !ok || !About(fork, c.clone.PID) || !About(fork, c.clone.PID+1) || About(fork, 1) || child == "" {
				t.Errorf("%+v", fork)
			}
		})
	}
}

func TestParseRecordBounds(t *testing.T) {
	const line = "               x-7       [000] .....     1.000001: f <-g\n"
	records, lost := ParseRecord("# entries-in-buffer/entries-written: 5/25   #P:1\n"+strings.Repeat(line, maxRecords+3), 1)
	if len(records) != maxRecords || lost != 23 {
		t.Errorf("%d records, %d lost", len(records), lost)
	}
	for _, text := range []string{
		"", " => a\n", "x\n", "x-7 [000] ..... 1.000001: <stack trace>\n => a\n", "x-99999999999999999999 [000] ..... 1.000001: f <-g\n",
		"x-7 [000] ..... 1.000001: \n", "CPU:0 [LOST 5 EVENTS]\n",
	} {
		if records, lost := ParseRecord(text, 1); len(records)+lost > 0 {
			t.Errorf("%q: %+v, %d", text, records, lost)
		}
	}
	// A stack goes to the call that it was recorded with, and to no other task's.
	records, _ = ParseRecord(line+"  y-8 [000] ..... 1.000002: <stack trace>\n => a\n", 1)
	if len(records) != 1 || records[0].Stack != nil {
		t.Errorf("%+v", records)
	}
	// What the agent's threads did is left out with its stack, but for what is about the
	// program.
	const ours = "init-5 [000] ..... 1.000003: f <-g\n init-5 [000] ..... 1.000004: <stack trace>\n => a\n init-5 [000] ..... 1.000005: e: pid=7\n init-7 [000] ..... 1.000006: f <-g\n"
	records, lost = ParseRecord(line+ours, 7)
	if len(records) != 3 || lost != 0 || records[0].Stack != nil || records[1].Text != "pid=7" || records[2].PID != 7 {
		t.Errorf("%+v", records)
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		text, err := os.ReadFile("testdata/" + arch + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		records, lost := ParseRecord(text, 1)
		if lost < 0 || len(records) > maxRecords {
			t.Errorf("%d records, %d lost", len(records), lost)
		}
		for _, r := range records {
			if (r.Function == "") == (r.Event == "") {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A record is of a stop's call if function and thread are the same, and what there is no
// record of is explained by the settings.
func TestCompare(t *testing.T) {
	stack := func(names ...string) []trace.Frame {
		var all []trace.Frame
		for i, n := range names {
			f := trace.Frame{PC: 1, Symbol: n, Offset: trace.Word(8 * min(i, 1)), Size: 0x40, Trusted: true}
			all = append(all, f)
		}
		return append(all, trace.Frame{PC: 1, User: true})
	}
	stop := func(symbol string, pid int, callers ...string) trace.Event {
		return trace.Event{Kind: trace.KindStop, Point: symbol, Symbol: symbol, Task: &trace.Task{PID: pid}, Stack: stack(append([]string{symbol}, callers...)...)}
	}
	record := func(function string, pid int, frames ...string) trace.FtraceRecord {
		return trace.FtraceRecord{Function: function, Caller: "b+0x8/0x40", PID: pid, Stack: frames}
	}
	aside := stop("a", 1, "b")
	aside.Aside = "another task"
	within := stop("a", 1, "b")
	within.Stack[0].Offset = 4
	for name, c := range map[string]struct {
		stop    trace.Event
		ftrace  trace.Ftrace // on, by the function tracer
		off     bool
		records []trace.FtraceRecord
		want    string // "" for no row
		differ  [2]string
		rest    int
	}{
		"the same stack":       {stop: stop("a", 1, "b", "c"), records: []trace.FtraceRecord{record("a", 1, "0xffff", "a+0x5/0x40", "b+0x8/0x40", "c+0x8/0x40")}, want: SameStack},
		"by a link register":   {stop: stop("a", 1, "b", "c"), records: []trace.FtraceRecord{record("a", 1, "ftrace_call+0x8/0x2c", "c+0x8/0x40")}, want: SameStack},
		"without offsets":      {stop: stop("a", 1, "b", "c"), records: []trace.FtraceRecord{record("a", 1, "a", "b", "c")}, want: SameStack},
		"without a stack":      {stop: stop("a", 1, "b"), records: []trace.FtraceRecord{record("a", 1)}, want: SameCall},
		"another caller":       {stop: stop("a", 1, "b", "c"), records: []trace.FtraceRecord{record("a", 1, "a+0x5/0x40", "b+0x8/0x40", "d+0x8/0x40")}, want: OtherStack, differ: [2]string{"c+0x8/0x40", "d+0x8/0x40"}},
		"another offset":       {stop: stop("a", 1, "b"), records: []trace.FtraceRecord{record("a", 1, "a+0x5/0x40", "b+0x9/0x40")}, want: OtherStack, differ: [2]string{"b+0x8/0x40", "b+0x9/0x40"}},
		"a shorter stack":      {stop: stop("a", 1, "b", "c"), records: []trace.FtraceRecord{record("a", 1, "a+0x5/0x40", "b+0x8/0x40")}, want: OtherStack, differ: [2]string{"c+0x8/0x40", ""}},
		"the second fits":      {stop: stop("a", 1, "b"), records: []trace.FtraceRecord{record("a", 1, "a", "c"), record("a", 1, "a", "b")}, want: SameStack, rest: 1},
		"another thread's":     {stop: stop("a", 1, "b"), records: []trace.FtraceRecord{record("a", 2, "a", "b")}, want: NotFiltered, rest: 1},
		"another function's":   {stop: stop("a", 1, "b"), ftrace: trace.Ftrace{Filter: []string{"a"}}, records: []trace.FtraceRecord{record("x", 1, "x", "b")}, want: NotRecorded, rest: 1},
		"everything is traced": {stop: stop("a", 1, "b"), ftrace: trace.Ftrace{All: true}, want: NotRecorded},
		"off":                  {stop: stop("a", 1, "b"), off: true, want: Off},
		"no tracer":            {stop: stop("a", 1, "b"), ftrace: trace.Ftrace{Tracer: "nop"}, want: NoTracer},
		"cannot be traced":     {stop: stop("a", 1, "b"), ftrace: trace.Ftrace{All: true, Untraceable: []string{"a"}}, want: Untraceable},
		"inside a function":    {stop: within, records: []trace.FtraceRecord{record("a", 1, "a", "b")}, want: NoEntry, rest: 1},
		"an aside":             {stop: aside, records: []trace.FtraceRecord{record("a", 1, "a", "b")}, rest: 1},
		"an event":             {stop: stop("a", 1, "b"), records: []trace.FtraceRecord{{Event: "a", PID: 1}}, want: NotFiltered},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.ftrace
			if f.On = !c.off; f.Tracer == "" {
				f.Tracer = "function"
			}
			f.Records = c.records
			rows, rest := Compare(&trace.Trace{Events: []trace.Event{c.stop, {Kind: trace.KindFtrace, Ftrace: &f}}})
			switch {
			case c.want == "" && len(rows) > 0, c.want != "" && len(rows) != 1, len(rest) != c.rest:
				t.Fatalf("%+v and %+v besides", rows, rest)
			case c.want == "":
				return
			}
			if r := rows[0]; r.Case != c.want || r.Differ != c.differ || r.Agrees() != (c.want != OtherStack && c.want != NotRecorded) || c.want == SameStack && r.Frames != len(c.stop.Stack)-1 {
				t.Errorf("%+v, want %s %q", r, c.want, c.differ)
			}
		})
	}
	if rows, rest := Compare(&trace.Trace{Events: []trace.Event{stop("a", 1)}}); rows != nil || rest != nil {
		t.Errorf("%+v, %+v of a run without ftrace", rows, rest)
	}
}
