package grade_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// judge and judgeSubmission grade, and write the sentences.
func judge(t *trace.Trace, r grade.Rules) verdict.Result { return words.Result(grade.Grade(t, r)) }

func judgeSubmission(s grade.Submitted) verdict.Result {
	return words.Result(grade.GradeSubmission(s))
}

// forkRules are rules in the manner of the lab fork-new.
func reads(names ...string) (all []plan.Named) {
	for _, n := range names {
		all = append(all, plan.Named{Name: n})
	}
	return all
}

func forkRules(arch string) grade.Rules {
	r := grade.Rules{
		Lab: "fork-new", Title: "A process is born", Arch: arch,
		Output:   []string{"This is Child Process!", "This is Parent Process!", "Child Complete!"},
		Before:   map[string]string{"Child Complete!": "This is Child Process!"},
		Instead:  []string{"sys_vfork"},
		Sequence: grade.Scored{Name: "the path"}, Hits: grade.Scored{Name: "once each"},
	}
	for _, p := range tracetest.Points() {
		point := plan.Point{Name: p, Role: "parent", Step: true, Means: "It means " + p + "."}
		switch p {
		case "sys_clone":
			point.Entry = true
			point.Show = []plan.Named{{Name: "clone_flags", Expr: "flags(arg.clone_flags)"}}
		case "kernel_clone":
			point.Reads = reads("flags", "exit_signal")
			point.Show = []plan.Named{{Name: "exit_signal", Expr: "signal(read.exit_signal)"}}
		case "wake_up_new_task":
			point.Reads = reads("child_pid", "thread_sp", "start")
			point.Show = []plan.Named{{Name: "start planted", Expr: "read.start"}, {Name: "pid", Expr: "read.child_pid"}}
		case "ret_from_fork":
			point.Role, point.After = "child", []string{"wake_up_new_task"}
			point.Reads = reads("thread_sp", "stack_top", "stack_end", "came_from", "user_ret", "user_pc", "parent_user_pc")
		case "release_task":
			point.Step = false
		}
		r.Points = append(r.Points, point)
	}
	zero := map[string]string{"x86_64": "reg.rbx", "riscv64": `symbol == "ret_from_fork_user_asm" ? 0 : reg.fp`}
	r.Checks = []grade.CheckRule{
		{Name: "start", At: "ret_from_fork", Observed: "wake_up_new_task.read.start", Expected: "pc", Format: "address", Why: "It was planted."},
		{Name: "stack pointer", At: "ret_from_fork", Observed: "sp", Expected: "read.thread_sp + switch_frame", Format: "address"},
		{Name: "frame", At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "sizes.stack_top", Format: "bytes", Score: 2},
		{Name: "magic", At: "ret_from_fork", Observed: "read.stack_end", Expected: "0x57ac6e9d"},
		{Name: "user", At: "ret_from_fork", Observed: zero[arch], Expected: "0"},
		{Name: "returns 0", At: "ret_from_fork", Observed: "read.user_ret", Expected: "0"},
		{Name: "reaped", Observed: "release_task.task.pid", Expected: "sys_clone.task.pid"},
	}
	return r
}

// wrong is a way for a run to be wrong, or right in an unusual way.
type wrong struct {
	name string
	make func(t *trace.Trace)
}

func wrongs() []wrong {
	output := func(t *trace.Trace, s string) { tracetest.SetExit(t, trace.Exit{Output: s}) }
	noFork := func(t *trace.Trace) {
		tracetest.Drop(t, tracetest.Points()...)
		output(t, "This is Parent Process!\n")
	}
	return []wrong{
		{"pass", func(*trace.Trace) {}},
		{"pass-restarted", func(t *trace.Trace) {
			tracetest.SecondCall(t, "release_task")
			rest := []trace.Event{}
			for _, e := range t.Events {
				if e.Round == 1 && e.Point != "sys_clone" && e.Point != "kernel_clone" && e.Point != "copy_process" {
					continue
				}
				rest = append(rest, e)
			}
			t.Events = rest
			tracetest.Renumber(t)
		}},
		{"pass-refused", func(t *trace.Trace) {
			tracetest.SecondCall(t, "release_task")
			for i := range t.Events {
				if e := &t.Events[i]; e.Round == 1 && e.Point == "sys_clone" {
					e.Args = append([]trace.Arg{}, e.Args...)
					e.Args[0].Value++ // other flags
				}
			}
			t.Events = slices.DeleteFunc(t.Events, func(e trace.Event) bool {
				return e.Round == 1 && e.Point != "sys_clone" && e.Point != "kernel_clone" && e.Point != "copy_process"
			})
			tracetest.Renumber(t)
		}},
		{"pass-interleaved", func(t *trace.Trace) { tracetest.Move(t, "release_task", "ret_from_fork") }},
		{"pass-with-asides", func(t *trace.Trace) {
			e := t.Events[tracetest.Index(t, "sys_clone")]
			e.Aside, e.Role = "another kind of call", ""
			t.Events = append([]trace.Event{t.Events[0], e}, t.Events[1:]...)
			tracetest.Renumber(t)
		}},
		{"empty", func(t *trace.Trace) { t.Events = nil }},
		{"truncated", func(t *trace.Trace) { t.Events = t.Events[:5] }},
		{"no-end", func(t *trace.Trace) { t.Events = t.Events[:len(t.Events)-1] }},
		{"no-program", func(t *trace.Trace) { t.Events = t.Events[1:]; tracetest.Renumber(t) }},
		{"no-exit", func(t *trace.Trace) {
			n := len(t.Events)
			t.Events = append(t.Events[:n-2], t.Events[n-1])
			tracetest.Renumber(t)
		}},
		{"unknown-point", func(t *trace.Trace) { t.Events[3].Point = "do_exit" }},
		{"another-lab", func(t *trace.Trace) { t.Header.Lab = "wake-up" }},
		{"another-arch", func(t *trace.Trace) { t.Header.Arch = "s390x" }},
		{"never-forks", noFork},
		{"only-threads", func(t *trace.Trace) {
			e := t.Events[tracetest.Index(t, "sys_clone")]
			noFork(t)
			e.Aside, e.Role = "another kind of call by the program", ""
			t.Events = append([]trace.Event{t.Events[0], e, e}, t.Events[1:]...)
			tracetest.Renumber(t)
		}},
		{"only-vfork", func(t *trace.Trace) {
			e := t.Events[tracetest.Index(t, "sys_clone")]
			noFork(t)
			e.Point, e.Aside, e.Role = "sys_vfork", "vfork, whose child uses its parent's memory", ""
			t.Events = append([]trace.Event{t.Events[0], e}, t.Events[1:]...)
			tracetest.Renumber(t)
		}},
		{"pass-beside-vfork", func(t *trace.Trace) {
			e := t.Events[tracetest.Index(t, "sys_clone")]
			e.Point, e.Aside, e.Role = "sys_vfork", "vfork, whose child uses its parent's memory", ""
			t.Events = append([]trace.Event{t.Events[0], e}, t.Events[1:]...)
			tracetest.Renumber(t)
		}},
		{"reaped-by-a-thread", func(t *trace.Trace) {
			e := &t.Events[tracetest.Index(t, "release_task")]
			e.Task = &trace.Task{Address: 0xffff888003800000, PID: 85, TGID: 83, Comm: "fork-new"}
			e.Role, e.Round, e.Aside, e.ByOther = "", 0, "another task", true
		}},
		{"complete-early", func(t *trace.Trace) {
			output(t, "This is Parent Process!\nChild Complete!\nThis is Child Process!\n")
		}},
		{"complete-early-and-late", func(t *trace.Trace) {
			output(t, "Child Complete!\nThis is Child Process!\nThis is Parent Process!\nChild Complete!\n")
		}},
		{"does-not-wait", func(t *trace.Trace) {
			tracetest.Drop(t, "release_task")
			tracetest.SetExit(t, trace.Exit{Output: "This is Parent Process!\nThis is Child Process!\n", Leftover: 1})
		}},
		{"reaped-by-another", func(t *trace.Trace) {
			t.Events[tracetest.Index(t, "release_task")].Task = &trace.Task{Address: 0xffff888003800000, PID: 1, TGID: 1, Comm: "init"}
		}},
		{"forks-twice", func(t *trace.Trace) { tracetest.SecondCall(t, "ret_from_fork") }},
		{"forks-twice-reaps-second", func(t *trace.Trace) {
			tracetest.SecondCall(t, "ret_from_fork")
			i := tracetest.Index(t, "release_task")
			release := t.Events[i]
			release.Round = 2
			tracetest.Drop(t, "release_task")
			n := len(t.Events) - 2
			t.Events = append(t.Events[:n:n], append([]trace.Event{release}, t.Events[n:]...)...)
			tracetest.Renumber(t)
		}},
		{"crashes-before", func(t *trace.Trace) {
			noFork(t)
			tracetest.SetExit(t, trace.Exit{Signal: "SIGSEGV", Code: 139})
		}},
		{"crashes-after", func(t *trace.Trace) {
			tracetest.Drop(t, "release_task")
			tracetest.SetExit(t, trace.Exit{Signal: "SIGABRT", Output: "This is Child Process!\n"})
		}},
		{"hangs", func(t *trace.Trace) {
			tracetest.Drop(t, "release_task")
			tracetest.SetExit(t, trace.Exit{TimedOut: true, Limit: 30e9, Signal: "SIGKILL", Output: "This is Parent Process!\n"})
		}},
		{"exit-status", func(t *trace.Trace) { tracetest.SetExit(t, trace.Exit{Code: 7, Output: tracetest.Output}) }},
		{"output-misspelt", func(t *trace.Trace) {
			output(t, "hello\nstarting\none\nThis is parent process\ntwo\nThis is Child Process!\r\nChild Complete!  \nbye\n")
		}},
		{"output-none", func(t *trace.Trace) { output(t, "") }},
		{"output-too-much", func(t *trace.Trace) { tracetest.SetExit(t, trace.Exit{Output: "noise\n", Dropped: 4096}) }},
		{"missing-step", func(t *trace.Trace) { tracetest.Drop(t, "copy_thread") }},
		{"missing-last-steps", func(t *trace.Trace) {
			tracetest.Drop(t, "copy_thread", "wake_up_new_task", "ret_from_fork", "release_task")
		}},
		{"missing-child", func(t *trace.Trace) { tracetest.Drop(t, "ret_from_fork") }},
		{"order", func(t *trace.Trace) { tracetest.Move(t, "copy_thread", "copy_process") }},
		{"edge", func(t *trace.Trace) { tracetest.Move(t, "ret_from_fork", "wake_up_new_task") }},
		{"hit-twice", func(t *trace.Trace) {
			i := tracetest.Index(t, "copy_thread")
			t.Events = append(t.Events[:i+1], t.Events[i:]...)
			tracetest.Renumber(t)
		}},
		{"after-the-path", func(t *trace.Trace) {
			e := t.Events[tracetest.Index(t, "copy_thread")]
			n := len(t.Events) - 2
			t.Events = append(t.Events[:n:n], append([]trace.Event{e}, t.Events[n:]...)...)
			tracetest.Renumber(t)
		}},
		{"wrong-role", func(t *trace.Trace) { t.Events[tracetest.Index(t, "copy_thread")].Role = "child" }},
		{"value-start", func(t *trace.Trace) { tracetest.SetRead(t, "wake_up_new_task", "start", 0xffffffff81234567) }},
		{"value-start-at-point", func(t *trace.Trace) {
			tracetest.SetRead(t, "wake_up_new_task", "start", t.Header.Points[1].Address)
		}},
		{"value-sp", func(t *trace.Trace) { tracetest.SetRead(t, "ret_from_fork", "thread_sp", 0x1000) }},
		{"value-frame", func(t *trace.Trace) { t.Header.Sizes["stack_top"] = 184 }},
		{"value-magic", func(t *trace.Trace) { tracetest.SetRead(t, "ret_from_fork", "stack_end", 0) }},
		{"value-kernel-thread", func(t *trace.Trace) {
			r := t.Events[tracetest.Index(t, "ret_from_fork")].Registers
			r["rbx"], r["fp"] = 0xffffffff810a0000, 0xffffffff810a0000
		}},
		{"value-returns", func(t *trace.Trace) { tracetest.SetRead(t, "ret_from_fork", "user_ret", ^trace.Word(10)) }},
		{"unread", func(t *trace.Trace) {
			e := &t.Events[tracetest.Index(t, "ret_from_fork")]
			delete(e.Reads, "user_ret")
			e.Unread = map[string]string{"user_ret": "memory at 0x10: E14"}
		}},
		{"no-register", func(t *trace.Trace) {
			r := t.Events[tracetest.Index(t, "ret_from_fork")].Registers
			delete(r, "rbx")
			delete(r, "fp")
		}},
		{"no-size", func(t *trace.Trace) { t.Header.Sizes = nil }},
	}
}

func TestGrade(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		for _, w := range wrongs() {
			t.Run(arch+"/"+w.name, func(t *testing.T) {
				tr := tracetest.Fork(arch)
				w.make(tr)
				got := judge(tr, forkRules(arch))
				if (got.Verdict == verdict.Pass) != strings.HasPrefix(w.name, "pass") {
					t.Errorf("verdict %s", got.Verdict)
				}
				consistent(t, got)
				golden(t, arch, w.name, got)
			})
		}
	}
}

// consistent checks what holds for every result.
func consistent(t *testing.T, r verdict.Result) {
	t.Helper()
	score, most := 0, 0
	for _, c := range r.Checks {
		score, most = score+c.Score, most+c.MaxScore
		if partial := c.Type == grade.TypeOrder || c.Type == grade.TypeSet; c.Verdict != verdict.Pass && c.Score != 0 && !partial {
			t.Errorf("check %q is %s and scores %d", c.Name, c.Verdict, c.Score)
		}
		if c.Verdict != verdict.Pass && r.Verdict == verdict.Pass {
			t.Errorf("check %q is %s and the result passes", c.Name, c.Verdict)
		}
	}
	if score != r.Score || most != r.MaxScore {
		t.Errorf("score %d of %d, but the checks add up to %d of %d", r.Score, r.MaxScore, score, most)
	}
	if (r.Verdict == verdict.Error) != (r.Error != "") {
		t.Errorf("verdict %s with error %q", r.Verdict, r.Error)
	}
	if r.Verdict == verdict.Fail && len(r.Findings) == 0 {
		t.Error("a failure without a finding")
	}
}

// golden compares a result with testdata/ARCH.txtar; a verdict is told there in
// a few lines, the way a person checks it.
func golden(t *testing.T, arch, name string, r verdict.Result) {
	t.Helper()
	file := filepath.Join("testdata", arch+".txtar")
	ar := &txtar.Archive{Comment: []byte("Verdicts over the traces of TestGrade: go test ./harness/grade -update\n")}
	if data, err := os.ReadFile(file); err == nil {
		ar = txtar.Parse(data)
	}
	got := summary(r)
	for i, f := range ar.Files {
		if f.Name != name {
			continue
		}
		if *update {
			ar.Files[i].Data = []byte(got)
			write(t, file, ar)
			return
		}
		if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("verdict (-want +got):\n%s", diff)
		}
		return
	}
	if !*update {
		t.Fatalf("%s has no %s: run with -update and read what it says", file, name)
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(got)})
	write(t, file, ar)
}

func write(t *testing.T, file string, ar *txtar.Archive) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

func summary(r verdict.Result) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %d/%d %s %s %s\n", r.Verdict, r.Score, r.MaxScore, r.Lab, r.Arch, r.Kernel)
	if r.Error != "" {
		fmt.Fprintf(&b, "error: %s\n", r.Error)
	}
	for i, f := range r.Findings {
		fmt.Fprintf(&b, "finding %d [%s, step %d]: %s\n", i+1, f.Kind, f.Step, f.Message)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "step %s %s %s %d[%s] %s", s.Point, s.Symbol, s.Address, s.PID, s.Comm, s.Role)
		for _, v := range s.Values {
			fmt.Fprintf(&b, " %s=%s", v.Name, v.Text)
		}
		fmt.Fprintln(&b)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "check %s %d/%d %s", c.Verdict, c.Score, c.MaxScore, c.Name)
		switch {
		case c.Verdict == verdict.Pass:
			fmt.Fprintf(&b, ": %s\n", c.Observed)
		case r.Verdict == verdict.Error:
			fmt.Fprintln(&b)
		default:
			fmt.Fprintf(&b, "\n  expected %s\n  observed %s\n", c.Expected, c.Observed)
		}
		for _, l := range c.Lines {
			fmt.Fprintf(&b, "  %s %q\n", l.Mark, l.Text)
		}
	}
	return b.String()
}
