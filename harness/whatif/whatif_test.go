package whatif_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/harness/whatif"
	"kernellab/labs"
)

// run is a made run of fork-new, graded by the lab's rules.
func run(t *testing.T, change func(*trace.Trace)) whatif.Run {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	tr := tracetest.Fork("x86_64")
	at(tr, "copy_thread").Stack = stack("copy_thread", "copy_process", "kernel_clone", "__x64_sys_clone")
	at(tr, "wake_up_new_task").Stack = stack("wake_up_new_task", "kernel_clone", "__x64_sys_clone")
	if change != nil {
		change(tr)
	}
	rules := l.Rules("x86_64")
	return whatif.Run{Trace: tr, Result: grade.Grade(tr, rules), Steps: grade.Steps(tr, rules)}
}

func at(tr *trace.Trace, point string) *trace.Event { return &tr.Events[tracetest.Index(tr, point)] }

func stack(functions ...string) (out []trace.Frame) {
	for _, f := range functions {
		out = append(out, trace.Frame{Symbol: f})
	}
	return append(out, trace.Frame{User: true})
}

// What one change makes different is told, and nothing else.
func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*trace.Trace)
		want   []string // a line a difference, but those of checks
		placed int      // more values than in two equal runs
	}{
		"nothing": {func(*trace.Trace) {}, nil, 0},
		"a point is not reached": {
			func(tr *trace.Trace) { tracetest.Drop(tr, "release_task") },
			[]string{"point release_task: 1 stop | no stop: The run does not stop at release_task."}, 0,
		},
		"another task comes there": {
			func(tr *trace.Trace) {
				e := at(tr, "release_task")
				child := *at(tr, "ret_from_fork").Task
				e.Task, e.Role, e.Aside, e.ByOther = &child, "", "another task", true
			},
			[]string{"point release_task: 1 stop | in the task child: The run stops at release_task in the task child, not in the task parent."}, 0,
		},
		"a second call": {
			func(tr *trace.Trace) { tracetest.SecondCall(tr, "sys_clone") },
			[]string{"point sys_clone: 1 stop | 2 stops: The run stops at sys_clone twice; the plain run does once."}, 0,
		},
		"another order": {
			func(tr *trace.Trace) { tracetest.Move(tr, "wake_up_new_task", "copy_process") },
			[]string{"order : copy_process before wake_up_new_task | wake_up_new_task before copy_process: wake_up_new_task comes before copy_process; in the plain run it comes after it."}, 0,
		},
		"another way": { // the same at two points, which is told once
			func(tr *trace.Trace) {
				at(tr, "copy_thread").Stack = stack("copy_thread", "copy_process", "kernel_clone", "__x64_sys_fork")
				at(tr, "wake_up_new_task").Stack = stack("wake_up_new_task", "kernel_clone", "__x64_sys_fork")
			},
			[]string{"stack copy_thread: __x64_sys_clone | __x64_sys_fork: The run comes to copy_thread by way of __x64_sys_fork; the plain run by way of __x64_sys_clone."}, 0,
		},
		"a value": {
			func(tr *trace.Trace) { tracetest.SetRead(tr, "kernel_clone", "exit_signal", 10) },
			[]string{"value kernel_clone args->exit_signal: SIGCHLD | SIGUSR1: "}, 0,
		},
		"an address": {
			func(tr *trace.Trace) { tracetest.SetRead(tr, "ret_from_fork", "stack_top", 0xffffc90000999000) },
			nil, 1,
		},
		"the child's pid": {
			func(tr *trace.Trace) {
				child := *at(tr, "ret_from_fork").Task
				child.PID, child.TGID = 4321, 4321
				at(tr, "ret_from_fork").Task = &child
				tracetest.SetRead(tr, "wake_up_new_task", "child_pid", 4321)
			},
			nil, 1,
		},
		"another processor": {
			func(tr *trace.Trace) { at(tr, "ret_from_fork").CPU = 1 },
			[]string{"value ret_from_fork processor: 0 | 1: "}, 0,
		},
		"the program's output and end": {
			func(tr *trace.Trace) {
				tracetest.SetExit(tr, trace.Exit{Signal: "SIGSEGV", Output: "This is Parent Process!\nThis is Child Process!\nOops!\nOops!\n"})
			},
			[]string{
				"output : Child Complete! | : The program does not print “Child Complete!”.",
				"output :  | Oops!: The program prints “Oops!”; in the plain run it does not.",
				"output :  | Oops!: The program prints “Oops!”; in the plain run it does not.",
				"end : ended with exit status 0 | was killed by SIGSEGV: The program was killed by SIGSEGV; in the plain run it ended with exit status 0.",
			}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := whatif.Compare(run(t, nil), run(t, tt.change))
			var got []string
			values := c.Same + c.Placed
			for _, d := range c.Differences {
				if d.Kind == whatif.KindValue {
					values++
				}
				if d.Kind == whatif.KindCheck {
					continue
				}
				where := d.Point
				if d.What != "" {
					where += " " + d.What
				}
				got = append(got, fmt.Sprintf("%s %s: %s | %s: %s", d.Kind, where, d.Plain, d.Varied, d.Sentence))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if c.Placed != tt.placed || values < 20 {
				t.Errorf("%d of %d values differ in addresses or pids, want %d", c.Placed, values, tt.placed)
			}
			if c.Lab != "fork-new" || c.Arch != "x86_64" || c.Plain != verdict.Pass {
				t.Errorf("%+v", c)
			}
		})
	}
}

// A check that comes out differently is told with its values, or with why it is not made.
func TestChecks(t *testing.T) {
	c := whatif.Compare(run(t, nil), run(t, func(tr *trace.Trace) {
		tracetest.SetRead(tr, "ret_from_fork", "user_ret", 7)
		tracetest.Drop(tr, "release_task")
	}))
	told := map[string]string{}
	for _, d := range c.Differences {
		if d.Kind == whatif.KindCheck {
			told[d.What] = d.Varied + ": " + d.Sentence
		}
	}
	if want := "fail: “fork returns 0 in the child” does not hold: the check expects 0, and the run shows 7."; told["fork returns 0 in the child"] != want {
		t.Errorf("told %q, want %q", told["fork returns 0 in the child"], want)
	}
	delete(told, "fork returns 0 in the child")
	for name, got := range told { // what can be seen at release_task only
		if want := "skip: “" + name + "” is not checked: not seen: no stop at release_task."; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if len(told) == 0 || c.Varied != verdict.Fail {
		t.Errorf("%s, and nothing is not checked", c.Varied)
	}
	back := whatif.Compare(run(t, func(tr *trace.Trace) { tracetest.SetRead(tr, "ret_from_fork", "user_ret", 7) }), run(t, nil))
	if want := "“fork returns 0 in the child” holds; in the plain run it does not."; len(back.Differences) == 0 || back.Differences[0].Sentence != want {
		t.Errorf("%+v, want %q", back.Differences, want)
	}
}
