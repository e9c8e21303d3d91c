package contradiction_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"kernellab/harness/contradiction"
	lab "kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
)

// plan is the plan of tracetest's lab.
func plan(t *testing.T) *contradiction.Plan {
	t.Helper()
	var points []lab.Point
	for _, name := range tracetest.Points() {
		p := lab.Point{Name: name, Role: "parent", Entry: name == "sys_clone"}
		switch name {
		case "sys_clone":
			p.When, p.Aside = "bitand(arg.clone_flags, CLONE_VM + CLONE_THREAD) == 0", "a thread"
		case "kernel_clone":
			p.Reads = []lab.Named{{Name: "flags", Expr: "arg.args.flags"}, {Name: "exit_signal", Expr: "arg.args.exit_signal"}}
		case "dup_task_struct":
			p.Finds = []lab.Named{{Name: "child", Expr: "arg.dst"}}
		case "wake_up_new_task":
			p.Reads = []lab.Named{{Name: "child_pid", Expr: "arg.p.pid"}}
		case "ret_from_fork":
			p.Role = "child"
		case "release_task":
			p.When, p.Aside = "arg.p == child", "another task is released"
		}
		points = append(points, p)
	}
	plan, err := contradiction.NewPlan(points, nil, []lab.Point{{Name: "sys_vfork", Aside: "vfork"}})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// at returns the first stop at a point.
func at(t *trace.Trace, point string) *trace.Event { return &t.Events[tracetest.Index(t, point)] }

// pass changes the first argument at a point, and the register that holds it.
func pass(t *trace.Trace, point string) {
	e := at(t, point)
	e.Args[0].Value += 0x40
	e.Registers[map[string]string{"x86_64": "rdi", "riscv64": "a0"}[t.Header.Arch]] = e.Args[0].Value
}

// repeat puts a copy of the event i behind it.
func repeat(t *trace.Trace, i int) {
	again := t.Events[i]
	again.Fields = nil // they are recorded once
	t.Events = slices.Insert(t.Events, i+1, again)
	tracetest.Renumber(t)
}

// otherWay puts a stop of the program's at another way to do what the entry does in front
// of the event i.
func otherWay(t *trace.Trace, i int) *trace.Event {
	p := trace.Point{Point: "sys_vfork", Symbol: "__do_sys_vfork", Address: t.Header.Points[0].Address + 0x1000, Why: "its symbol"}
	t.Header.Instead = []trace.Point{p}
	e := *at(t, "sys_clone")
	e.Point, e.Symbol, e.Address = p.Point, p.Symbol, p.Address
	e.Registers = maps.Clone(e.Registers)
	e.Registers[t.Header.Roles["pc"]] = p.Address
	aside(&e, "vfork")
	t.Events = slices.Insert(t.Events, i, e)
	tracetest.Renumber(t)
	return &t.Events[i]
}

// aside makes a stop an aside.
func aside(e *trace.Event, why string) {
	e.Aside, e.Role, e.Round, e.Parent = why, "", 0, nil
	e.Args, e.Reads, e.Finds, e.Arms, e.Disarms, e.Fields, e.Stack, e.Stacks = nil, nil, nil, nil, nil, nil, nil, nil
}

// reapedByAThread makes another thread of the program release the child.
func reapedByAThread(t *trace.Trace) *trace.Event {
	e := at(t, "release_task")
	args := e.Args
	aside(e, "another task")
	e.Args, e.ByOther = args, true
	e.Task = &trace.Task{Address: e.Task.Address + 0x4000, PID: 99, TGID: e.Task.TGID, Comm: e.Task.Comm}
	if _, ok := e.Registers["tp"]; ok {
		e.Registers["tp"] = e.Task.Address
	}
	return e
}

// Each change is found at the event and field where it contradicts the rest.
func TestContradictions(t *testing.T) {
	changes := []struct {
		name   string
		change func(*trace.Trace)
		want   string // event and field
	}{
		{"another address", func(t *trace.Trace) { at(t, "copy_process").Address += 8 }, "4 address"},
		{"another symbol", func(t *trace.Trace) { at(t, "copy_process").Symbol = "copy_files" }, "4 symbol"},
		{"another program counter", func(t *trace.Trace) {
			at(t, "copy_process").Registers[t.Header.Roles["pc"]] += 8
		}, "4 registers.PC"},
		{"a point that the header lacks", func(t *trace.Trace) { at(t, "copy_thread").Point = "copy_files" }, "6 point"},
		{"no register", func(t *trace.Trace) { delete(at(t, "copy_process").Registers, t.Header.Roles["sp"]) }, "4 registers.SP"},
		{"no task", func(t *trace.Trace) { at(t, "copy_process").Task = nil }, "4 task"},
		{"another task", func(t *trace.Trace) {
			task := *at(t, "copy_process").Task
			task.Address += 0x1000
			at(t, "copy_process").Task = &task
		}, "4 task.address"},
		{"another pid", func(t *trace.Trace) {
			task := *at(t, "copy_process").Task
			task.PID, task.TGID = 90, 90
			at(t, "copy_process").Task = &task
		}, "5 task.pid"},
		{"another thread group", func(t *trace.Trace) {
			task := *at(t, "copy_process").Task
			task.TGID = 90
			at(t, "copy_process").Task = &task
		}, "4 task.tgid"},
		{"another child is found", func(t *trace.Trace) { at(t, "dup_task_struct").Finds["child"] += 0x40 }, "5 finds.child"},
		{"another argument", func(t *trace.Trace) { at(t, "wake_up_new_task").Args[0].Value += 0x40 }, "8 args[0].value"},
		{"another child is woken", func(t *trace.Trace) { pass(t, "wake_up_new_task") }, "10 task.address"},
		{"another pid is woken", func(t *trace.Trace) { at(t, "wake_up_new_task").Reads["child_pid"]++ }, "10 task.pid"},
		{"another child runs", func(t *trace.Trace) { at(t, "ret_from_fork").Task.Address += 0x40 }, "10 task.address"},
		{"a thread's flags", func(t *trace.Trace) { at(t, "sys_clone").Args[0].Value |= 0x100 }, "2 point"},
		{"other flags", func(t *trace.Trace) { at(t, "sys_clone").Args[0].Value |= 0x200 }, "3 reads.flags"},
		{"another signal", func(t *trace.Trace) { at(t, "sys_clone").Args[0].Value++ }, "3 reads.exit_signal"},
		{"released before it runs", func(t *trace.Trace) { tracetest.Move(t, "release_task", "ret_from_fork") }, "10 point"},
		{"released twice", func(t *trace.Trace) { repeat(t, tracetest.Index(t, "release_task")) }, "12 point"},
		{"released by the child", func(t *trace.Trace) { at(t, "release_task").Role = "child" }, "11 task.address"},
		{"released by anybody", func(t *trace.Trace) { at(t, "release_task").Role = "any" }, "11 role"},
		{"another is released", func(t *trace.Trace) { pass(t, "release_task") }, "11 point"},
		{"it runs before it is found", func(t *trace.Trace) { tracetest.Move(t, "ret_from_fork", "dup_task_struct") }, "5 role"},
		{"a call that begins no round", func(t *trace.Trace) { repeat(t, tracetest.Index(t, "sys_clone")) }, "3 round"},
		{"a round that did not begin", func(t *trace.Trace) { at(t, "copy_process").Round = 2 }, "4 round"},
		{"a second program", func(t *trace.Trace) { repeat(t, 0) }, "2 kind"},
		{"a second exit", func(t *trace.Trace) { repeat(t, len(t.Events)-2) }, "13 kind"},
		{"no exit", func(t *trace.Trace) {
			t.Events = slices.Delete(t.Events, len(t.Events)-2, len(t.Events)-1)
			tracetest.Renumber(t)
		}, "12 kind"},
		{"time goes back", func(t *trace.Trace) { at(t, "copy_process").Time = 1 }, "4 time_ns"},
		{"a sequence with a gap", func(t *trace.Trace) { at(t, "copy_process").Seq++ }, "5 seq"},
		{"another processor", func(t *trace.Trace) { at(t, "copy_process").CPU = 1 }, "4 cpu"},
		{"armed twice", func(t *trace.Trace) { at(t, "copy_process").Arms = []string{"kernel_clone"} }, "4 arms"},
		{"never armed", func(t *trace.Trace) { at(t, "sys_clone").Arms = at(t, "sys_clone").Arms[1:] }, "3 point"},
		{"another program's name", func(t *trace.Trace) { t.Header.Program.Name = "fork" }, "1 task.comm"},
		{"a point that moved", func(t *trace.Trace) { t.Header.Points[1].Address = t.Header.Points[0].Address }, "0 points[1].address"},
		{"another way after the entry", func(t *trace.Trace) { otherWay(t, 2) }, "3 point"},
		{"another way that the header lacks", func(t *trace.Trace) { otherWay(t, 1); t.Header.Instead = nil }, "2 point"},
		{"another way of another process", func(t *trace.Trace) {
			e := otherWay(t, 1)
			task := *e.Task
			task.PID, task.TGID = 90, 90
			e.Task = &task
		}, "2 task.tgid"},
		{"another way at another address", func(t *trace.Trace) { otherWay(t, 1).Address += 8 }, "2 address"},
		{"another way with other words", func(t *trace.Trace) { otherWay(t, 1).Aside = "another task" }, "2 aside"},
		{"another way that is a step", func(t *trace.Trace) { e := otherWay(t, 1); e.Aside, e.Role, e.Round = "", "parent", 1 }, "2 round"},
		{"another way by another task", func(t *trace.Trace) { otherWay(t, 1).ByOther = true }, "2 by_other"},
		{"another way with a point's name", func(t *trace.Trace) { otherWay(t, 1); t.Header.Instead[0].Point = "sys_clone" }, "0 instead[0].point"},
		{"another way with a point's symbol", func(t *trace.Trace) { otherWay(t, 1); t.Header.Instead[0].Symbol = t.Header.Points[0].Symbol }, "0 instead[0].address"},
		{"another way out of the kernel", func(t *trace.Trace) { otherWay(t, 1); t.Header.Instead[0].Address = 8 }, "0 instead[0].address"},
		{"a step by another task", func(t *trace.Trace) { at(t, "release_task").ByOther = true }, "11 by_other"},
		{"only the task differs, unsaid", func(t *trace.Trace) { reapedByAThread(t).ByOther = false }, "11 by_other"},
		{"not only the task differs", func(t *trace.Trace) { reapedByAThread(t); pass(t, "release_task") }, "11 by_other"},
		{"only the task of an entry differs", func(t *trace.Trace) {
			e := at(t, "sys_clone")
			args := e.Args
			aside(e, "another task")
			e.Args, e.ByOther = args, true
		}, "2 by_other"},
		{"another architecture", func(t *trace.Trace) { t.Header.Arch = "arm64" }, "0 arch"},
		{"other roles", func(t *trace.Trace) { t.Header.Roles = map[string]string{"pc": "pc"} }, "0 roles"},
		{"another release", func(t *trace.Trace) { t.Header.Kernel.Release = "7.0" }, "0 kernel.banner"},
	}
	for _, arch := range []string{"x86_64", "riscv64"} {
		if err := contradiction.Check(tracetest.Fork(arch), plan(t)); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		if err := contradiction.Check(tracetest.Fork(arch), nil); err != nil {
			t.Errorf("%s, without a plan: %v", arch, err)
		}
		for _, c := range changes {
			tr := tracetest.Fork(arch)
			c.change(tr)
			err := contradiction.Check(tr, plan(t))
			var found *contradiction.Error
			if !errors.As(err, &found) {
				t.Errorf("%s: %s: %v, want a contradiction in %s", arch, c.name, err, c.want)
				continue
			}
			want := strings.NewReplacer("PC", tracetest.Fork(arch).Header.Roles["pc"], "SP", tracetest.Fork(arch).Header.Roles["sp"]).Replace(c.want)
			if got := fmt.Sprintf("%d %s", found.Event, found.Field); got != want {
				t.Errorf("%s: %s: in %s (%v), want %s", arch, c.name, got, err, want)
			}
		}
	}
}

// What a program can bring about is no contradiction.
func TestPossible(t *testing.T) {
	for name, change := range map[string]func(*trace.Trace){
		"the trace is cut short": func(t *trace.Trace) { t.Events = t.Events[:5] },
		"the program renames itself": func(t *trace.Trace) {
			task := *at(t, "copy_process").Task
			task.Comm = "init"
			at(t, "copy_process").Task = &task
		},
		"it makes a process in another way": func(t *trace.Trace) { otherWay(t, 1) },
		"another thread releases the child": func(t *trace.Trace) { reapedByAThread(t) },
		"the child is never released":       func(t *trace.Trace) { tracetest.Drop(t, "release_task") },
		"it forks again, and the address is used again": func(t *trace.Trace) {
			round := t.Events[1:9]
			for _, e := range slices.Clone(round) {
				if e.Round = 2; e.Point == "ret_from_fork" {
					task := *e.Task
					task.PID, task.TGID = 90, 90
					e.Task = &task
				}
				if e.Point == "wake_up_new_task" {
					e.Reads = map[string]trace.Word{"child_pid": 90, "thread_sp": 1, "start": 2}
				}
				e.Fields = nil
				t.Events = slices.Insert(t.Events, len(t.Events)-2, e)
			}
			tracetest.Renumber(t)
		},
		"it is killed": func(t *trace.Trace) {
			tracetest.SetExit(t, trace.Exit{Code: -1, Signal: "SIGKILL", TimedOut: true, Limit: t.Header.Program.Limit})
		},
	} {
		for _, arch := range []string{"x86_64", "riscv64"} {
			tr := tracetest.Fork(arch)
			change(tr)
			if err := contradiction.Check(tr, plan(t)); err != nil {
				t.Errorf("%s: %s: %v", arch, name, err)
			}
		}
	}
}
