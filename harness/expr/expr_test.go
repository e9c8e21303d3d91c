package expr_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
)

// recording is two stops of a lab with three points, of which one was not hit, and
// three tasks, of which one is not known.
func recording() *expr.Recording {
	parent := trace.Task{Address: ^trace.Word(0xfff), PID: 83, TGID: 83, Comm: "fork"}
	stops := map[string]*trace.Event{
		"clone": {Point: "clone", Symbol: "__x64_sys_clone", Address: 0x1000, CPU: 1, Round: 2, Task: &parent, Parent: &trace.Task{PID: 1, Comm: "init"},
			Args: []trace.Arg{{Name: "flags", Value: 17}}, Registers: map[string]trace.Word{"rip": 0x1000, "rax": ^trace.Word(0)}},
		"made": {Point: "made", Task: &parent, Reads: map[string]trace.Word{"state": 0x800}, Texts: map[string]string{"comm": "fork"},
			Unread: map[string]string{"lost": "the pointer is NULL"}},
		"gone": nil,
	}
	tasks := map[string]expr.Task{
		"parent": {Address: parent.Address, Last: &parent}, "child": {Address: 0x2000}, "other": {},
	}
	return &expr.Recording{
		Event: stops["clone"], Roles: map[string]string{"pc": "rip", "ret": "rax", "link": "ra"},
		Stop:   func(point string) (*trace.Event, bool) { e, ok := stops[point]; return e, ok },
		Task:   func(role string) (expr.Task, bool) { t, ok := tasks[role]; return t, ok },
		Header: &trace.Header{Arch: "x86_64", Kernel: trace.Kernel{Release: "6.1.0"}, Sizes: map[string]int{"pt_regs": 168}, SwitchFrame: 56},
		Exit:   &trace.Exit{Code: 3, Output: "done\n"},
		Hits:   func(point string) (int, error) { return len(point), nil },
		Calls:  func(function string, at *trace.Event) (bool, error) { return at.Point == function, nil },
	}
}

func TestEval(t *testing.T) {
	for src, want := range map[string]any{
		"7 + 3 * 2": 13, "7 - 10": -3, "7 / 2": 3.5, "-7 % 4": -3, "1.5 + 1": 2.5, "2.5 - 1": 1.5, "1.5 * 2": 3.0, "-1.5": -1.5, "+2": 2, "+2.5": 2.5,
		"9223372036854775807 + 1": math.MinInt, "0 - 1": -1, "0x7fffffffffffffff * 2": -2,
		"1 < 2": true, "2 < 2": false, "2 <= 2": true, "3 <= 2": false, "2 > 2": false, "3 > 2": true, "2 >= 2": true, "1 >= 2": false,
		"1 < 1.5": true, "1.5 > 2": false, "1.5 >= 1.5": true, `"a" < "b"`: true, `"b" <= "a"`: false, `"b" > "a"`: true, `"a" >= "b"`: false,
		"1 == 1": true, "1 == 1.0": true, "1 != 1.5": true, `"a" == "a"`: true, `"a" == 1`: false, "1.5 == \"1.5\"": false, "true == true": true, "1 == true": false,
		"9007199254740993 == 9007199254740992": false, "9007199254740993 > 9007199254740992": true, // not as fractions
		`"a" + "b"`: "ab", `"abc" contains "b"`: true, `"abc" startsWith "b"`: false, `"abc" endsWith "bc"`: true, `not ("abc" contains "b")`: false,
		"true and false": false, "true && true": true, "false or true": true, "false || false": false, "!true": false, "not false": true,
		"false and 1 % 0 == 1": false, "true or clone.arg.nothing == 1": true, // the rest is not looked at
		"1 < 2 ? 3 : 1 % 0": 3, "1 > 2 ? 1 % 0 : 4": 4,
		"bitand(12, 10)": 8, "bitor(12, 10)": 14, "bitxor(12, 10)": 6, "bitnand(12, 10)": 4, "bitnot(0)": -1,
		"bitshl(3, 4)": 48, "bitshl(1, 64)": 0, "bitshr(48, 4)": 3, "bitshr(-1, 60)": 15, "bitushr(-1, 60)": 15,
		"abs(-3)": 3, "abs(3)": 3, "abs(-1.5)": 1.5, "min(3, 1, 2)": 1, "max(3, 1.5)": 3, "min(2, 1.5)": 1.5, "max(1, 1.5)": 1.5,
		"hex(-1)": "0xffffffffffffffff", "text(12) + \"!\"": "12!", "state(0x800)": "TASK_NEW", "state(0)": "TASK_RUNNING", "taskflags(0x200000)": "PF_KTHREAD",
		"taskflags(0x400008)": "PF_POSTCOREDUMP|PF_RANDOMIZE", "hex(0)": "0", "hex(2816, 8)": "0x00000b00", "hex(2816, 1)": "0xb00", "hex(0, 4)": "0x0000", "hex(-1, 4)": "0xffffffffffffffff",
		"exitcode(0)": "exit status 0", "exitcode(0x700)": "exit status 7", "exitcode(9)": "killed by SIGKILL", "exitcode(0x8b)": "killed by SIGSEGV with a core dump",
		"state(0x1001)": "TASK_INTERRUPTIBLE|0x1000", "taskflags(0)": "0", "state(0x21)": "TASK_INTERRUPTIBLE|EXIT_ZOMBIE",
		"CLONE_VM + SIGKILL":                         0x109,
		`common("mm fs files", "files  sighand mm")`: "mm files", `common("pid", "tgid pids")`: "", `without("mm fs files", "files mm")`: "fs", `without("", "mm")`: "",
		`count("mm fs  files ")`: 3, `count("")`: 0, `common(made.read.comm, "fork") == "fork"`: true,

		"symbol": "__x64_sys_clone", "point": "clone", "address == pc": true, "cpu": 1, "round": 2, "ret": -1, "reg.rip": 0x1000, `reg["rip"]`: 0x1000,
		"arg.flags": 17, "task.pid": 83, "task.comm": "fork", "parent_task.comm": "init", "made.read.state": 0x800, "made.read.comm": "fork", "made.task.tgid": 83,
		"parent == task.address": true, "parent": -0x1000, "parent.tgid": 83, "child": 0x2000, "child.address": 0x2000, "child + 8": 0x2008,
		"arg.newflags ?? arg.flags": 17, "arg.flags ?? arg.newflags": 17, "(arg.newflags ?? made.arg.flags) ?? 1": 1, "reg.ra ?? 0": 0,
		"sizes.pt_regs + switch_frame": 224, "arch": "x86_64", "kernel": "6.1.0", "program.exit": 3, "program.signal": "", "program.output": "done\n",
		`hits("made")`: 4, `calls("clone")`: true, `calls("clone", "made")`: false, `calls("made", "made")`: true,

		// What has no value says why.
		"1 % 0": "1 % 0: division by zero", "1.5 % 1": "% is of whole numbers", "bitshl(1, -1)": "a shift by -1 bits", "bitand(1.5, 1)": "1.5 is no whole number", "flags(1.5)": "1.5 is no whole number",
		"1 + \"a\"": "1 + \"a\": + takes two numbers, not a text", "\"a\" - 1": "- takes two numbers, not a text", "1 and true": "and takes two truth values, not a number",
		"true + true": "+ takes two numbers, not a truth value", "1 contains \"a\"": "contains takes two texts", "not 1": "not 1: not of a number", "-\"a\"": "- of a text", "1 ? 2 : 3": "1 is a number: a condition is true or false",
		"abs(symbol)": "symbol is no number", `common(pc, "a")`: "pc is no text", "count(3)": "3 is no text", "pc.x": "pc.x: pc is a number, it has no members", "task + 1": "task is no value by itself", "clone": "clone is no value", "sizes": "sizes is no value",
		"u64(1)": `u64(1): no function "u64" here`, "u64(task)": `no function "u64" here`, // which takes objects too
		"1 % 0 == 1 ? 1 : 2": "1 % 0: division by zero",
	} {
		e, err := expr.Parse(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		got, err := e.Eval(t.Context(), recording())
		if err != nil {
			if text, ok := want.(string); !ok || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %v", src, err, want)
			}
		} else if got != want {
			t.Errorf("%s = %v, want %v", src, got, want)
		}
	}
}

// A value that was not recorded is told by what it is, and is no zero.
func TestMissing(t *testing.T) {
	for src, want := range map[string]expr.Missing{
		"gone.pc":                {Kind: expr.NotHit, Point: "gone"},
		`calls("clone", "gone")`: {Kind: expr.NotHit, Point: "gone"},
		"other":                  {Kind: expr.NoTask, Role: "other"},
		"other.address":          {Kind: expr.NoTask, Role: "other"},
		"child.pid":              {Kind: expr.NoTask, Role: "child"},
		"made.read.lost":         {Kind: expr.Unread, Point: "made", Name: "lost", Why: "the pointer is NULL"},
		"made.read.lost ?? 1":    {Kind: expr.Unread, Point: "made", Name: "lost", Why: "the pointer is NULL"}, // only what a kernel lacks has another
		"made.read.none":         {Kind: expr.Unrecorded, Point: "made", Name: "none"},
		"arg.none":               {Kind: expr.Unrecorded, Point: "clone", Of: "arg", Name: "none"},
		"reg.none":               {Kind: expr.Unrecorded, Point: "clone", Of: "reg", Name: "none"},
		"link":                   {Kind: expr.Unrecorded, Point: "clone", Name: "link"},
		"sp":                     {Kind: expr.Unrecorded, Point: "clone", Name: "sp"},
		"made.parent_task.pid":   {Kind: expr.Unrecorded, Point: "made", Name: "parent_task"},
		"sizes.task_struct":      {Kind: expr.Unrecorded, Of: "sizes", Name: "task_struct"},
		"bitand(arg.none, 1)":    {Kind: expr.Unrecorded, Point: "clone", Of: "arg", Name: "none"},
	} {
		e, err := expr.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Eval(t.Context(), recording())
		var got *expr.Missing
		if !errors.As(err, &got) || *got != want || errors.Is(err, expr.ErrNoMember) != (want.Kind == expr.Unrecorded) {
			t.Errorf("%s: %v %+v, want %+v", src, err, got, want)
		}
	}
	for src, change := range map[string]func(*expr.Recording){
		"pc":              func(r *expr.Recording) { r.Event = nil },                   // no-event
		"program.signal":  func(r *expr.Recording) { r.Exit = nil },                    // no-end
		"program.exit":    func(r *expr.Recording) { r.Exit.Signal = "SIGKILL" },       // unrecorded, as are the next two
		"program.exit+1":  func(r *expr.Recording) { r.Exit.TimedOut = true },          //
		"program.exit+2":  func(r *expr.Recording) { r.Exit.Stops = 9 },                //
		"arch":            func(r *expr.Recording) { r.Header = nil },                  // of a condition
		"program":         func(r *expr.Recording) { r.Header = nil },                  //
		`hits("made")`:    func(r *expr.Recording) { r.Hits = nil },                    //
		`calls("made")`:   func(r *expr.Recording) { r.Calls = nil },                   //
		"made.task.pid+1": func(r *expr.Recording) { r.Stop, r.Event.Point = nil, "" }, // made is no point then
	} {
		e, err := expr.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		r := recording()
		change(r)
		if v, err := e.Eval(t.Context(), r); err == nil {
			t.Errorf("%s = %v", src, v)
		}
	}
}

func TestFlagsAndSignals(t *testing.T) {
	for src, want := range map[string]string{
		"flags(0)": "0", "flags(17)": "SIGCHLD", "flags(0x4111)": "CLONE_VM|CLONE_VFORK|SIGCHLD", "flags(0x100)": "CLONE_VM",
		"flags(0x1000000011)": "SIGCHLD|0x1000000000", "flags(0x80000000)": "CLONE_IO", "flags(200)": "signal 200",
		"signal(0)": "0", "signal(1)": "SIGHUP", "signal(9)": "SIGKILL", "signal(11)": "SIGSEGV", "signal(31)": "SIGSYS", "signal(32)": "signal 32", "signal(-1)": "signal -1",
	} {
		e, err := expr.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Eval(t.Context(), recording()); got != want {
			t.Errorf("%s = %s, %v, want %s", src, got, err, want)
		}
	}
}

func TestFormat(t *testing.T) {
	symbol := func(a trace.Word) string { return map[trace.Word]string{0x10000: "clone"}[a] }
	for _, tt := range []struct {
		v      any
		format string
		want   string
	}{
		{0xffff, "", "65535"}, {-0xffff, "", "-65535"}, {0x10000, "", "0x10000 (clone)"}, {-0x10000, "", "0xffffffffffff0000"},
		{16, expr.FormatAddress, "0x10"}, {1, expr.FormatBytes, "1 byte"}, {2, expr.FormatBytes, "2 bytes"}, {0x20000, expr.FormatBytes, "131072 bytes"},
		{-16, expr.FormatBytes, "-16 bytes"}, {-0x20000, expr.FormatBytes, "0xfffffffffffe0000"}, {0, expr.FormatBytes, "0 bytes"},
		{17, expr.FormatFlags, "SIGCHLD"}, {9, expr.FormatSignal, "SIGKILL"}, {0x20, expr.FormatState, "EXIT_ZOMBIE"}, {0x500, expr.FormatExit, "exit status 5"}, {0, expr.FormatAddress, "0"},
		{"text", expr.FormatAddress, "text"}, {true, "", "true"}, {1.5, "", "1.5"},
	} {
		if got := expr.Format(tt.v, tt.format, symbol); got != tt.want {
			t.Errorf("Format(%v, %q) = %s, want %s", tt.v, tt.format, got, tt.want)
		}
	}
	for _, f := range append(expr.Formats(), "") {
		if err := expr.UnknownFormat(f); err != nil {
			t.Error(err)
		}
	}
	if err := expr.UnknownFormat("adress"); err == nil || err.Error() != `unknown format "adress": did you mean "address"?` {
		t.Error(err)
	}
}

func TestEqual(t *testing.T) {
	if expr.Equal(math.NaN(), math.NaN()) || expr.Equal(nil, nil) || !expr.Equal(2.0, 2) || expr.Equal("2", 2.0) {
		t.Error("Equal of NaN, nothing, 2.0 and 2, or \"2\" and 2.0")
	}
}

func TestParseRefuses(t *testing.T) {
	for src, want := range map[string]string{
		" ": "an empty expression", "1 +": "unexpected token", "let x = 1; x": "the language has no variabledeclarator", "{a: 1}": "the language has no map", "[1]": "the language has no array",
		"nil": "the language has no nil", "1..3": `no operator ".."`, "2 ** 64": `no operator "**"`, "all(1..9, # > 0)": `no function "all"`, "1 in [1]": `no operator "in"`,
		"task[pc]": "a name follows a dot", "task?.pid": "the language has no chain", "symbol[0:1]": "the language has no slice", "symbol.x()": "only a function can be called",
		"sum(1)": `no function "sum"`, "flag(1)": `no function "flag": did you mean "flags"?`, "len(symbol)": `no function "len"`,
		"flags(1, 2)": "flags takes one argument, not 2", "bitand(1)": "bitand takes 2 arguments, not 1", "min()": "min takes one argument, not 0", `hits("a", "b")`: "hits takes one argument, not 2",
		`calls()`: "calls takes 1 or 2 arguments, not 0", `calls("a", "b", "c")`: "calls takes 1 or 2 arguments, not 3",
		"hits(pc)": `hits takes the name of a point, as in hits("sys_clone")`, `calls(pc)`: `calls takes the name of a function, as in calls("get_signal")`,
		`calls("a", pc)`: "calls takes the name of a point", "as(arg.x, pc)": `as takes the name of a structure`,
		strings.Repeat("1+", 512) + "1": "an expression of 1025 bytes, over the limit of 1024", strings.Repeat("1+", 128) + "1": "an expression of 257 parts, over the limit of 256",
	} {
		if _, err := expr.Parse(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want an error with %q", src, err, want)
		}
	}
	for _, src := range []string{strings.Repeat(" ", 1023) + "1", strings.Repeat("1+", 127) + "12"} {
		if _, err := expr.Parse(src); err != nil {
			t.Errorf("%.40s: %v", src, err)
		}
	}
}

// A check of the names and kinds reports what no run could compute.
func TestCheck(t *testing.T) {
	names := func(run bool, at string) expr.Env {
		reads := map[string][]string{"made": {"state", "comm"}}
		return &expr.Names{Points: []string{"clone", "made"}, Roles: []string{"parent"}, At: at, Run: run, Reads: func(p string) []string { return reads[p] }}
	}
	rule, when, nowhere, guest := names(true, "made"), names(false, "made"), names(true, ""), expr.GuestNames{Roles: []string{"parent"}}
	for _, tt := range []struct {
		env  expr.Env
		src  string
		want any
	}{
		{rule, "task.pid + clone.arg.flags - sizes.pt_regs", expr.Number},
		{rule, "read.state == TASK_NEW and parent.comm startsWith arch", expr.Truth},
		{rule, "round == 1 ? symbol : text(parent)", expr.Text},
		{rule, "round == 1 ? symbol : pc", expr.Any},
		{rule, "read.comm ?? \"\"", expr.Any},
		{rule, `hits("clone") + abs(pc)`, expr.Number},
		{rule, `calls("do_exit") or calls("x", "clone")`, expr.Truth},
		{rule, "-read.state", expr.Number},
		{rule, "read.comm + symbol", expr.Text},
		{rule, "tsk.pid", `unknown name "tsk": did you mean "task"?`},
		{rule, "task.pdi", `task has no "pdi": did you mean "pid"?`},
		{rule, "parent.pdi", `parent has no "pdi": did you mean "pid"?`},
		{rule, "clone.taks.pid", `clone has no "taks": did you mean "task"?`},
		{rule, "clone.read.x", `clone reads nothing`},
		{rule, "read.stat", `read has no "stat": did you mean "state"?`},
		{rule, "program.status", `program has no "status": it is one of exit, output, panic, signal`},
		{rule, `hits("clon")`, `no point "clon": did you mean "clone"?`},
		{rule, `calls("x", "clon")`, `no point "clon"`},
		{rule, "current", `unknown name "current"`},
		{rule, "u64(sp)", `no function "u64" here`},
		{rule, "task.pid.x", "task.pid is a number, it has no members"},
		{rule, "symbol - 1", "- takes two numbers, not a text"},
		{rule, "symbol ? 1 : 2", "symbol is a text"},
		{rule, "false and symbol - 1 == 2", "- takes two numbers"}, // every part is looked at
		{rule, "true ? 1 : tsk", `unknown name "tsk"`},
		{rule, "pc ?? tsk", `unknown name "tsk"`},
		{rule, "1 % 0", "division by zero"},
		{nowhere, "pc", `"pc" is of one event: say at which point with "at", or write POINT.pc`},
		{nowhere, "clone.pc", expr.Number},
		{nowhere, `calls("do_exit")`, `calls is of one stop: say at which point with "at"`},
		{nowhere, `calls("do_exit", "made")`, expr.Truth},
		{when, "read.state == 1 and clone.arg.flags == arg.flags", expr.Truth},
		{when, "parent.pid", expr.Number},
		{when, "point", `unknown name "point"`},
		{when, "parent_task.pid", `unknown name "parent_task"`},
		{when, "arch", `unknown name "arch"`},
		{when, `hits("clone")`, `no function "hits" here`},
		{guest, "current.mm.pgd - parent.user.sp", expr.Number},
		{guest, `as(arg.data, "file").f_pos`, expr.Any},
		{guest, "str(arg.name)", expr.Text},
		{guest, "reg.a0 == u8(sp)", expr.Truth},
		{guest, "child.pid", `unknown name "child": it is one of current, arg, reg, preempt_count, current_at, pc, sp, ret, link, parent`},
		{guest, "arg", "arg is no value by itself"},
		{guest, `hits("clone")`, `no function "hits" here`},
	} {
		e, err := expr.Parse(tt.src)
		if err != nil {
			t.Fatal(err)
		}
		kind, err := e.Check(tt.env)
		if want, ok := tt.want.(string); ok && (err == nil || !strings.Contains(err.Error(), want)) || !ok && (err != nil || kind != tt.want) {
			t.Errorf("%s: %q, %v, want %v", tt.src, kind, err, tt.want)
		}
	}
}

func TestReserved(t *testing.T) {
	for name, want := range map[string]bool{"task": true, "arch": true, "hits": true, "u64": true, "bitand": true, "SIGKILL": true, "sys_clone": false, "current": false} {
		if expr.Reserved(name) != want {
			t.Errorf("Reserved(%s) = %v", name, !want)
		}
	}
}

func TestPaths(t *testing.T) {
	e, err := expr.Parse(`hits("made") + clone.arg.p.pid == (arg.q ?? arg.r.x) and as(arg.q, "file").pos != -arg.p ? task.comm : "text"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want any }{
		{e.Paths(), [][]string{{"clone", "arg", "p", "pid"}, {"arg", "q"}, {"arg", "r", "x"}, {"arg", "q"}, {"arg", "p"}, {"task", "comm"}}},
		{e.Texts(), []string{"made", "file", "text"}},
		{e.Given(), []string{"made", "file"}},
		{e.Members("arg"), []string{"q", "r", "p"}},
		{e.Members("clone", "arg"), []string{"p"}},
		{e.Members("read"), []string(nil)},
		{e.Needed("arg"), []string{"q", "p"}},
		{e.Needed("clone", "arg"), []string{"p"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// What parses evaluates or fails, anywhere, and what is checked does not fail by kinds
// that were known.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{"pc", "arg.flags == 0 ? 1 % 0 : -sp", `flags(arg.x) + hits("made")`, "let a = 1; a", "[1][0]", "u64(arg.p + 8) ?? min(1, 2.5)", "((((", "not calls(\"a\")"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		e, err := expr.Parse(src)
		if err != nil {
			return
		}
		e.Check(expr.GuestNames{})
		e.Paths()
		e.Needed("arg")
		v, err := e.Eval(context.Background(), recording())
		if _, unknown := v.(expr.Unknown); err == nil && (v == nil || unknown) {
			t.Errorf("%s gives %v", src, v)
		}
	})
}
