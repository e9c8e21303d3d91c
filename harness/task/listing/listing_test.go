package listing_test

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/task"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func tasks() []*task.Info {
	who := func(pid, tgid int, comm string) trace.Task {
		return trace.Task{Address: 0xffff888003a28000 + trace.Word(pid)*0x1000, PID: pid, TGID: tgid, Comm: comm}
	}
	idle, first, daemon := who(0, 0, "swapper/0"), who(1, 1, "init"), who(2, 2, "kthreadd")
	var caught []string
	for n := 1; n <= 64; n++ {
		if n != 9 && n != 19 {
			caught = append(caught, trace.Signal(n))
		}
	}
	sleeping := task.State{Letter: "S", Words: "sleeping"}
	return []*task.Info{
		{Task: idle, RealParent: &idle, KernelThread: true, State: task.State{Letter: "R", Words: "running"}, Running: true},
		{Task: first, RealParent: &idle, State: sleeping, Memory: &task.Memory{Size: 1260652, RSS: 2704}},
		{Task: who(80, 1, "init"), RealParent: &idle, State: sleeping, Memory: &task.Memory{Size: 1260652, RSS: 2704}},
		{Task: daemon, RealParent: &idle, KernelThread: true, State: sleeping},
		{Task: who(12, 12, "rcu_tasks_rude_"), FullName: "rcu_tasks_rude_kthread", RealParent: &daemon, KernelThread: true, State: task.State{Letter: "I", Words: "idle"}},
		{
			Task: who(83, 83, "evil\x1b[2J"), RealParent: &first, Parent: &first, Leader: &first, State: sleeping, CPU: 1,
			Flags: 0x400040, FlagNames: []string{"PF_FORKNOEXEC", "PF_RANDOMIZE"},
			Children: []trace.Task{who(84, 84, "child")}, Exe: "/bin/evil", Cwd: "/tmp/gone (deleted)", Root: "/", Args: []string{"evil", "", "a b"},
			Files: []task.File{{FD: 0, Kind: "char", Path: "/dev/null"}, {FD: 7, Kind: "socket", Path: "socket:[1234]"}, {FD: 9, Unread: "E14"}},
			Times: task.Times{Start: 3 * time.Second, User: 10 * time.Millisecond, Ran: 12345678 * time.Nanosecond},
			Creds: &task.Creds{UID: [4]uint32{1000, 1000, 1000, 1000}, Groups: []uint32{7, 20}},
			Clock: &task.Clock{Now: 12500 * time.Millisecond, Booted: 1793491200e9},
			Group: 83, Session: 80, TTY: &task.Terminal{Name: "ttyS0", Device: 0x440},
			LWPs: []task.LWP{
				{TID: 83, Comm: "evil\x1b[2J", State: sleeping, Start: 3 * time.Second, User: 10 * time.Millisecond, Ran: 12345678 * time.Nanosecond, CPU: 1},
				{TID: 85, Comm: "worker", State: task.State{Letter: "R", Words: "running"}, Running: true, Start: 4 * time.Second, System: time.Millisecond, Ran: time.Millisecond},
			},
			Signals: &task.Signals{Blocked: 0x200, ExitSignal: 17, Names: map[string][]string{"blocked": {"SIGUSR1"}, "caught": caught}},
			Thread:  task.Thread{Flags: 0x4000, CPU: 1, Preempt: &task.Preempt{Raw: 0x10001, Preempt: 1, Hardirq: 1}},
			Stack: task.Stack{
				Bottom: 0xffffc90000200000, Top: 0xffffc90000204000, SP: 0xffffc90000203b78, Magic: 0x57ac6e9d,
				User: []trace.Slot{{Name: "ax", Value: 1}, {Name: "ip", Value: 0x401000}},
			},
			Unread: map[string]string{"args": "the page of 0x7ffc0000 is not present"},
		},
	}
}

// TestGolden compares what is written with the files of testdata.
func TestGolden(t *testing.T) {
	all := tasks()
	for name, write := range map[string]func(b *bytes.Buffer) error{
		"ps":   func(b *bytes.Buffer) error { return listing.Table(b, all) },
		"tree": func(b *bytes.Buffer) error { return listing.Tree(b, all) },
		"task": func(b *bytes.Buffer) error { return listing.Task(b, all[len(all)-1]) },
		"interrupted": func(b *bytes.Buffer) error { // on the processor's stack for interrupts
			i := all[1]
			i.Stack = task.Stack{Bottom: 0xffffc90000200000, Top: 0xffffc90000204000, SP: 0xffffc90000003e80, Magic: 0x57ac6e9d}
			return listing.Task(b, i)
		},
		"stack": func(b *bytes.Buffer) error {
			return listing.Stack(b, all[1].Task, 0, []trace.Frame{
				{PC: 0xffffffff81000010, SP: 0xffffc90000203b78, Symbol: "copy_thread", Size: 0x280, Trusted: true, Interrupted: true},
				{PC: 0xffffffff81001010, SP: 0xffffc90000203c78, Symbol: "vfs_read", Offset: 0x10, Size: 0x100, Trusted: true, Interrupted: true},
				{PC: 0xffffffffc0400095, SP: 0xffffc90000203d78, Doubt: "no function of the kernel image; a module or generated code"},
				{PC: 0x401000, SP: 0x7ffc0000, User: true, Trusted: true},
			})
		},
		"variables": func(w *bytes.Buffer) error {
			return listing.Stack(w, trace.Task{PID: 138, TGID: 138, Comm: "fork-new", Address: 0xffff8880056f3080}, 0, []trace.Frame{
				{
					PC: 0xffffffff810ba594, SP: 0xffffc900005eba00, Symbol: "dup_task_struct", Offset: 0x1a4, Size: 0x2740, Trusted: true, Interrupted: true,
					Inlined: true, File: "kernel/fork.c", Line: 1130,
					Variables: []trace.Variable{
						{Name: "orig", Type: "struct task_struct *", Arg: true, Text: "0xffff8880056f3080"}, {Name: "node", Type: "int", Arg: true, Unread: "optimized out"},
						{Name: "tsk", Type: "struct task_struct *", Unread: "optimized out"}, {Name: "err", Type: "int", Unread: "optimized out"},
					},
				},
				{
					PC: 0xffffffff810ba594, SP: 0xffffc900005eba00, Symbol: "copy_process", Offset: 0x1a4, Size: 0x2740, Trusted: true, File: "kernel/fork.c", Line: 2257,
					Variables: []trace.Variable{
						{Name: "retval", Type: "int", Text: "-12"}, {Name: "delayed", Type: "struct multiprocess_signals", Text: "{…} at 0xffffc900005ebab8"},
						{Name: "p", Type: "struct task_struct *", Unread: "8 bytes at 0x10 can not be read: \x1b[31mE14"},
					},
				},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + ".text"
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A tree that damage made a circle is drawn to its end, each process once.
func TestTreeLoops(t *testing.T) {
	a, b := trace.Task{PID: 1, TGID: 1, Comm: "a"}, trace.Task{PID: 2, TGID: 2, Comm: "b"}
	var out bytes.Buffer
	if err := listing.Tree(&out, []*task.Info{{Task: a, RealParent: &b}, {Task: b, RealParent: &a}}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "a(1)\n└─ b(2)\n"; got != want {
		t.Errorf("tree %q, want %q", got, want)
	}
}
