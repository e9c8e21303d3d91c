package labs_test

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// course reads the labs once for all tests. Nobody may change them.
var course = sync.OnceValues(labs.All)

func all(t testing.TB) []labs.Lab {
	t.Helper()
	all, err := course()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(all)
}

func TestCourse(t *testing.T) {
	if err := labs.Validate(); err != nil {
		t.Fatal(err)
	}
	orders := map[int]string{}
	for _, l := range all(t) {
		if other := orders[l.Order]; other != "" {
			t.Errorf("%s and %s are both lab %d", l.Name, other, l.Order)
		}
		orders[l.Order] = l.Name
		if !strings.HasPrefix(l.Handout, "# "+l.Title+"\n") {
			t.Errorf("%s: the handout does not begin with the lab's title", l.Name)
		}
		if _, err := fs.ReadFile(l.Program(), "main.go"); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		if data, err := fs.ReadDir(l.Program(), "testdata"); err != nil || len(data) != 1 || data[0].Name() != path.Base(labs.WrongFolder) {
			t.Errorf("%s: more of testdata is embedded than its wrong programs: %v, %v", l.Name, data, err)
		}
		for _, a := range arch.Names() {
			if err := l.Rules(a).Validate(); err != nil {
				t.Errorf("%s on %s: %v", l.Name, a, err)
			}
		}
	}
}

// unsourced leaves out where in the file things are.
var unsourced = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Source" }, cmp.Ignore())

// unexplained leaves out what is only shown to people.
var unexplained = cmpopts.IgnoreFields(plan.Point{}, "Means", "Show", "Lifetime", "Visibility")

func TestForkNewPlan(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	starts := map[string]string{"x86_64": "u64(arg.p.thread.sp + 0x30)", "riscv64": "arg.p.thread.ra"}
	numbers := map[string]string{"x86_64": "current.user.orig_ax", "riscv64": "current.user.a7"}
	for a, start := range starts {
		points := l.Plan(a).Points
		var names []string
		for _, p := range points {
			names = append(names, p.Name)
		}
		if diff := cmp.Diff(tracetest.Points(), names); diff != "" {
			t.Errorf("%s: points (-want +got):\n%s", a, diff)
		}
		at := func(name string) plan.Point { return points[slices.Index(names, name)] }
		want := plan.Point{Name: "wake_up_new_task", Place: "wake_up_new_task", Role: "parent", Step: true, Within: "sys_clone", Reads: []plan.Named{
			{Name: "child_pid", Expr: "arg.p.pid"}, {Name: "thread_sp", Expr: "arg.p.thread.sp"}, {Name: "start", Expr: start},
		}}
		if diff := cmp.Diff(want, at("wake_up_new_task"), unsourced, unexplained); diff != "" {
			t.Errorf("%s: wake_up_new_task (-want +got):\n%s", a, diff)
		}
		want = plan.Point{
			Name: "sys_clone", Place: "sys_clone", Role: "parent", Step: true, Entry: true, Args: []string{"clone_flags", "newsp"},
			When:  "bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0",
			Aside: "a clone that shares memory, such as a thread of Go's runtime",
			Reads: []plan.Named{{Name: "number", Expr: numbers[a]}},
		}
		if diff := cmp.Diff(want, at("sys_clone"), unsourced, unexplained); diff != "" {
			t.Errorf("%s: sys_clone (-want +got):\n%s", a, diff)
		}
		release := at("release_task")
		if release.Step || !slices.Equal(release.Armed, []string{"ret_from_fork"}) {
			t.Errorf("%s: release_task is %+v", a, release)
		}
	}
}

func TestForkNewGrades(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arch.Names() {
		res := grade.Grade(tracetest.Fork(a), l.Rules(a))
		if !res.Passed() || res.Score != 40 || res.MaxScore != 40 {
			t.Errorf("%s: %s %d/%d %s: %+v", a, res.Verdict, res.Score, res.MaxScore, res.Error, res.Findings)
		}
		for _, c := range l.Checks {
			wrong := tracetest.Fork(a)
			spoil(t, wrong, c.Name)
			res := grade.Grade(wrong, l.Rules(a))
			i := indexCheck(t, res, c.Name)
			if res.Verdict != verdict.Fail || res.Checks[i].Verdict != verdict.Fail {
				t.Errorf("%s: %q: result %s, check %s: %s", a, c.Name, res.Verdict, res.Checks[i].Verdict, res.Checks[i].Observed)
			}
		}
	}
}

func indexCheck(t *testing.T, r verdict.Result, name string) int {
	t.Helper()
	for i, c := range r.Checks {
		if c.Name == name {
			return i
		}
	}
	t.Fatalf("no check %q", name)
	return 0
}

// spoil makes the trace wrong for one check of fork-new.
func spoil(t *testing.T, tr *trace.Trace, check string) {
	t.Helper()
	set := func(point, read string, v trace.Word) { tracetest.SetRead(tr, point, read, v) }
	switch check {
	case "the start address was stored before the child ran":
		set("wake_up_new_task", "start", 0xffffffff81000000)
	case "the child starts by a return, not a call":
		set("ret_from_fork", "came_from", 0xffffffff81000000)
	case "its stack pointer is where copy_thread left it":
		set("ret_from_fork", "thread_sp", 0xffffc90000000000)
	case "only the saved user registers lie above it":
		tr.Header.Sizes["stack_top"] += 16
	case "the end of its kernel stack carries the magic number":
		set("ret_from_fork", "stack_end", 0)
	case "it is a user process, not a kernel thread":
		r := tr.Events[tracetest.Index(tr, "ret_from_fork")].Registers
		r["rbx"], r["fp"] = 1, 1
	case "the saved frame returns to user mode":
		mode := map[string]trace.Word{"x86_64": 0x10, "riscv64": 0x120}
		set("ret_from_fork", "user_mode", mode[tr.Header.Arch])
	case "fork returns 0 in the child":
		set("ret_from_fork", "user_ret", 84)
	case "what the call returns in the parent":
		set("wake_up_new_task", "child_pid", 85)
	case "the child goes on where its parent called":
		set("ret_from_fork", "user_pc", 0x400000)
	case "who releases the child's task_struct":
		tr.Events[tracetest.Index(tr, "release_task")].Task = &trace.Task{PID: 1, TGID: 1, Comm: "init"}
	case "the child ends with the exit status that is asked for":
		set("release_task", "exit_code", 9)
	default:
		t.Fatalf("nothing here spoils the check %q", check)
	}
}

func TestGetNotFound(t *testing.T) {
	_, err := labs.Get("fork-nwe")
	var missing *labs.NotFoundError
	if !errors.As(err, &missing) || missing.Nearest != "fork-new" {
		t.Errorf("error %v, want a NotFoundError that names fork-new", err)
	}
	if _, err := labs.Get("zzzzzzzzz"); err == nil || !strings.Contains(err.Error(), "there are ") {
		t.Errorf("error %v, want one that lists the labs", err)
	}
}

func forkYAML(t testing.TB) string {
	t.Helper()
	for _, l := range all(t) {
		if l.Name == "fork-new" {
			b, err := fs.ReadFile(l.Program(), "lab.yaml")
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	t.Fatal("no fork-new")
	return ""
}

// unasked is the file without its questions, which name points.
func unasked(t testing.TB) string {
	t.Helper()
	before, _, ok := strings.Cut(forkYAML(t), "\nsubmission:")
	if !ok {
		t.Fatal("fork-new asks nothing")
	}
	return strings.ReplaceAll(before, "    asked: zero\n", "")
}

func folder(yaml string) fstest.MapFS {
	return fstest.MapFS{
		"fork-new/lab.yaml":  {Data: []byte(yaml)},
		"fork-new/README.md": {Data: []byte("# A process is born\n")},
		"fork-new/main.go":   {Data: []byte("package main\n")},
	}
}

func TestLoadRefuses(t *testing.T) {
	good := unasked(t)
	tests := map[string]struct{ old, new, want string }{
		"unknown key":            {"order: 1", "ordre: 1", `labs/fork-new/lab.yaml:3: the lab: unknown key "ordre": did you mean "order"?`},
		"unknown key of a point": {"    finds: {child: arg.dst}", "    fnids: {child: arg.dst}", `: point: unknown key "fnids": did you mean "finds"?`},
		"unknown task found":     {"finds: {child: arg.dst}", "finds: {chidl: arg.dst}", `finds: unknown task "chidl": did you mean "child"?`},
		"nothing finds it":       {"    finds: {child: arg.dst}\n", "", `task child: nothing tells which task it is`},
		"a task that is no word": {"  child: the task", "  a child: the task", `task "a child": want a word`},
		"unknown point":          {"- point: copy_thread", "- point: copy_tread", `point: unknown point "copy_tread": did you mean "copy_thread"?`},
		"a point and a return":   {"- point: copy_thread", "- point: copy_thread\n    return: copy_process\n    as: x", `return: it is a point, or the return of one`},
		"a return of nothing":    {"- point: copy_thread", "- return: copy_proces\n    as: copied", `return: no earlier point "copy_proces": did you mean "copy_process"?`},
		"a return without name":  {"- point: copy_thread", "- return: copy_process", `return: give the return a name of its own`},
		"a name that is no word": {"- point: copy_thread", "- point: copy_thread\n    as: copy-thread", `point "copy-thread": want a word`},
		"until nothing":          {"    armed: ret_from_fork", "    armed: ret_from_fork\n    until: nowhere", `until: no point "nowhere"`},
		"a read of no task":      {"child_pid: arg.p.pid", "child_pid: chlid.pid", `reads: child_pid: unknown name "chlid": did you mean "child"?`},
		"a condition of nothing": {"when: arg.p == child", "when: arg.p == chlid", `when: unknown name "chlid": did you mean "child"?`},
		"stacks of nothing":      {"stacks: [parent, child]", "stacks: [parent, chidl]", `stacks: unknown task "chidl"`},
		"an empty range":         {"- point: copy_process\n", "- point: copy_process\n    hits: 3..1\n", `hits: want a number from 0 to 1000`},
		"a panic and an exit":    {"  exit: 0", "  exit: 1\n  panic: \"Oh!\"", `panic: a program whose kernel panics does not end by an exit status or a signal`},
		"a panic by its sign":    {"  exit: 0", "  panic: \"Kernel panic - not syncing: Oh!\"", `panic: leave out "Kernel panic - not syncing: ", which every panic begins with`},
		"a panic, and no point":  {"  exit: 0", "  panic: \"Oh!\"", `panic: want a step of the path at the point panic`},
		"a first process":        {"  exit: 0", "  init: true", `init: the first process does not end without a panic, so want its "panic"`},
		"a signal and an exit":   {"  exit: 0", "  exit: 1\n  signal: SIGSEGV", `signal: a program that a signal ends has no exit status`},
		"unknown signal":         {"  exit: 0", "  signal: SIGSEG", `signal: unknown word "SIGSEG": did you mean "SIGSEGV"?`},
		"a broken pattern":       {"    - This is Parent Process!", "    - matches: \"(\"", `error parsing regexp`},
		"that and expected":      {"    observed: read.stack_end", "    that: read.stack_end == 1", `a check with "that" passes when it is true`},
		"no condition at all":    {"    observed: read.stack_end\n", "", `want "observed" and "expected", or "that"`},
		"lifetime":               {"- point: copy_process\n", "- point: copy_process\n    lifetime: tsk.pid\n", `lifetime: unknown name "tsk": did you mean "task"?`},
		"missing key":            {"title: A process is born\n", "", `the lab: no "title"`},
		"bad order":              {"order: 1", "order: first", `labs/fork-new/lab.yaml:3: order: want a number from 0 to 999, not "first"`},
		"bad name":               {"name: fork-new", "name: Fork_New", `labs/fork-new/lab.yaml:2: name "Fork_New"`},
		"another folder":         {"name: fork-new", "name: fork-old", `name "fork-old" in folder "fork-new"`},
		"listed twice":           {"- point: kernel_clone", "- point: sys_clone", `point: "sys_clone" is listed twice`},
		"unknown role":           {"    task: child\n", "    task: chidl\n", `task: unknown task "chidl": did you mean "child"?`},
		"no entry":               {"    entry: true\n", "", `0 points are the entry`},
		"two entries":            {"- point: copy_process\n", "- point: copy_process\n    entry: true\n", `2 points are the entry`},
		"after nothing":          {"after: wake_up_new_task", "after: wake_up_new_tsk", `after: no earlier point "wake_up_new_tsk": did you mean "wake_up_new_task"?`},
		"armed by nothing":       {"armed: ret_from_fork", "armed: ret_from_frok", `armed: no earlier point "ret_from_frok": did you mean "ret_from_fork"?`},
		"entry is armed":         {"    entry: true\n", "    entry: true\n    armed: sys_clone\n", `armed: the entry is armed from the start`},
		"at nothing":             {"    at: ret_from_fork", "    at: ret_from_frok", `at: no point "ret_from_frok": did you mean "ret_from_fork"?`},
		"format":                 {"format: bytes", "format: byte", `format: unknown format "byte": did you mean "bytes"?`},
		"check twice":            {"name: fork returns 0 in the child", "name: it is a user process, not a kernel thread", `is the name of another check`},
		"broken check":           {"observed: read.stack_top - sp", "observed: read.stack_top - (sp", `observed: `},
		"unknown name":           {"expected: pc", "expected: cp", `expected: unknown name "cp": did you mean`},
		"unknown read":           {"observed: read.came_from", "observed: read.come_from", `observed: read.come_from: read has no "come_from": did you mean "came_from"?`},
		"unknown read elsewhere": {"wake_up_new_task.read.start", "wake_up_new_task.read.strat", `observed: wake_up_new_task.read.strat: read has no "strat": did you mean "start"?`},
		"unknown function":       {"flags(arg.clone_flags)", "flagz(arg.clone_flags)", `show[0]: no function "flagz": did you mean "flags"?`},
		"a loop":                 {"expected: pc", `expected: "map([1,2], # + 1)"`, `expected: `},
		"event without at":       {"observed: release_task.task.pid", "observed: task.pid", `"task" is of one event: say at which point`},
		"broken when":            {"when: arg.p == child", "when: arg.p ==", `when: `},
		"broken read":            {"child_pid: arg.p.pid", "child_pid: arg.p.", `reads: child_pid: `},
		"architecture":           {"riscv64: arg.p.thread.ra", "risc: arg.p.thread.ra", `start: unknown architecture "risc": did you mean "riscv64"?`},
		"no architecture":        {"        riscv64: arg.p.thread.ra\n", "", `start: nothing for riscv64`},
		"key twice":              {"order: 1\n", "order: 1\norder: 2\n", `already defined`},
		"not YAML":               {"order: 1\n", "order: [1\n", `labs/fork-new/lab.yaml:`},
		"a list":                 {good, "- 1\n", `labs/fork-new/lab.yaml:1: the lab: want names with values`},
		"nothing":                {good, "", `labs/fork-new/lab.yaml: `},
		"two documents":          {good, "a: 1\n---\nb: 2\n", `2 YAML documents`},
		"an alias":               {"title: A process is born", "title: *x", `labs/fork-new/lab.yaml`},
		"output of two lines":    {"    - This is Parent Process!\n", "    - \"Child\\nComplete\"\n", `output: want one line of text`},
		"within nothing":         {"    within: sys_clone\n", "    within: sys_clon\n", `within: no earlier point "sys_clon"`},
		"within another task's":  {"    after: wake_up_new_task\n", "    after: wake_up_new_task\n    within: sys_clone\n", `within: a step of a call is a later point of the task`},
		"a line after nothing":   {"      after: This is Child Process!\n", "      after: This is a Child!\n", `both have to be lines of the output`},
		"a line, and no other":   {"      after: This is Child Process!\n", "", `want matches: PATTERN, or line: TEXT and after: TEXT`},
		"an instead at a point":  {"  sys_fork: fork", "  sys_clone: fork", `instead: "sys_clone" is a point of the lab`},
		"an instead of nothing":  {"  sys_fork: fork", "  sys_fork: [fork] #", `instead: want a function of the kernel and what it is`},
		"opens elsewhere":        {"  exit: 0\n", "  exit: 0\n  open: [/etc/passwd]\n", `open: want the path of a file below /proc or /sys, not "/etc/passwd"`},
		"hits of a point":        {"- point: copy_process\n", "- point: copy_process\n    hits: none\n", `hits: want a number from 0 to 1000, or a range such as 1..3 or 1.., not "none"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatalf("%q is not in the file", tt.old)
			}
			_, err := labs.Load(folder(bad))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error:\n%v\nwant one with:\n%s", err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "labs/fork-new/lab.yaml:") {
				t.Errorf("error %q does not begin with the file", err)
			}
			t.Log(err)
		})
	}
}

func TestLoadWantsHandoutAndProgram(t *testing.T) {
	for _, gone := range []string{"README.md", "main.go"} {
		fsys := folder(forkYAML(t))
		delete(fsys, "fork-new/"+gone)
		if _, err := labs.Load(fsys); err == nil || !strings.HasPrefix(err.Error(), "labs/fork-new") {
			t.Errorf("without %s: error %v", gone, err)
		}
	}
	if got, err := labs.Load(fstest.MapFS{}); err != nil || len(got) != 0 {
		t.Errorf("an empty folder: %v, %v", got, err)
	}
}

func TestLoadTellsEveryMistake(t *testing.T) {
	bad := strings.NewReplacer("order: 1", "order: -1", "format: bytes", "format: 1", "after: wake", "aftr: wake").Replace(forkYAML(t))
	_, err := labs.Load(folder(bad))
	if err == nil || strings.Count(err.Error(), "\n") < 1 {
		t.Errorf("error %v, want one line a mistake", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(forkYAML(f)))
	f.Add([]byte(variedYAML(f)))
	f.Add([]byte("name: [\n"))
	f.Add([]byte("a: &x {<<: *x}\n"))
	f.Add([]byte("tasks: {parent: x}\npoints:\n  - {point: a, task: parent, entry: true, means: b, show: {x: 1 % 0}}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := labs.Load(folder(string(b)))
		if err == nil && (len(got) != 1 || got[0].Name != "fork-new") {
			t.Errorf("loaded %d labs without an error", len(got))
		}
		if err != nil && !strings.HasPrefix(err.Error(), "labs/fork-new") {
			t.Errorf("error %q does not begin with the file", err)
		}
	})
}
