// Package tracetest makes traces for tests: a passing run of the lab fork-new, and
// functions that make it wrong. The numbers are invented but as consistent as those of
// a live kernel, with the symbols and sizes of Debian's 6.1 on x86_64 and 6.12 on
// riscv64.
package tracetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kernellab/harness/trace"
)

// Output is what the program of fork-new prints.
const Output = "This is Parent Process!\nThis is Child Process!\nChild Complete!\n"

// machine has the facts that differ between the architectures.
type machine struct {
	arch, release string
	symbols       [10]string
	base          uint64
	roles         map[string]string
	args          [2]string // registers of the first arguments
	frame, user   int       // bytes that the switch pops; size of pt_regs
	stack         uint64
	parent, child uint64
	flags         uint64
	userMode      uint64
}

// Points are the lab's points in the order of a run.
func Points() []string {
	return []string{
		"sys_clone", "kernel_clone", "copy_process", "dup_task_struct",
		"copy_thread", "pid_vnr", "wake_up_new_task", "clone_returns", "ret_from_fork", "release_task",
	}
}

func machines() []machine {
	return []machine{{
		arch: "x86_64", release: "6.1.0-50-cloud-amd64",
		symbols: [10]string{
			"__x64_sys_clone", "kernel_clone", "copy_process", "arch_dup_task_struct",
			"copy_thread", "pid_vnr", "wake_up_new_task", "do_syscall_64+0x5d", "ret_from_fork", "release_task",
		},
		base:  0xffffffff81090000,
		roles: map[string]string{"pc": "rip", "sp": "rsp", "ret": "rax"},
		args:  [2]string{"rdi", "rsi"},
		frame: 0x38, user: 168, stack: 0xffffc90000218000,
		parent: 0xffff888003a28000, child: 0xffff888003a2c9c0, flags: 0x01200000, userMode: 0x33,
	}, {
		arch: "riscv64", release: "6.12.107+deb13-riscv64",
		symbols: [10]string{
			"__riscv_sys_clone", "kernel_clone", "copy_process", "arch_dup_task_struct",
			"copy_thread", "pid_vnr", "wake_up_new_task", "do_trap_ecall_u+0x1c2", "ret_from_fork", "release_task",
		},
		base:  0xffffffff80020000,
		roles: map[string]string{"pc": "pc", "sp": "sp", "ret": "a0", "link": "ra"},
		args:  [2]string{"a0", "a1"},
		frame: 0, user: 288, stack: 0xff2000000021c000,
		parent: 0xff60000001a28000, child: 0xff60000001a2ca00, flags: 0x01200000, userMode: 0x4020,
	}}
}

// Fork returns a passing run of fork-new on an architecture. It panics if arch is
// unknown.
func Fork(arch string) *trace.Trace {
	all := machines()
	i := slices.IndexFunc(all, func(m machine) bool { return m.arch == arch })
	if i < 0 {
		panic(fmt.Sprintf("tracetest: no architecture %q", arch))
	}
	m := all[i]
	t := &trace.Trace{Header: m.header()}
	program := &trace.Task{PID: 83, TGID: 83, Comm: "fork-new"}
	t.Events = append(t.Events, trace.Event{Kind: trace.KindProgram, Task: program})
	for i := range Points() {
		t.Events = append(t.Events, m.stop(i))
	}
	t.Events = append(t.Events,
		trace.Event{Kind: trace.KindExit, Exit: &trace.Exit{Output: Output}},
		trace.Event{Kind: trace.KindEnd})
	Renumber(t)
	return t
}

func (m machine) header() trace.Header {
	h := trace.Header{
		Schema: trace.Schema, Lab: "fork-new", Arch: m.arch,
		Kernel: trace.Kernel{
			Release: m.release, Banner: "Linux version " + m.release + " (debian-kernel@lists.debian.org)",
			SHA256: strings.Repeat("5a", 32),
		},
		Program: trace.Program{Name: "fork-new", SHA256: strings.Repeat("c3", 32), Limit: 10 * time.Second},
		Machine: trace.Machine{QEMU: "10.0.13", Seed: 1, CPUs: 1, Args: []string{"-M", "pc"}, Initramfs: strings.Repeat("7b", 32)},
		Plan:    strings.Repeat("1d", 32),
		Sizes:   map[string]int{"pt_regs": m.user, "stack_top": m.user}, SwitchFrame: m.frame,
		Roles: m.roles,
	}
	for i, p := range Points() {
		point := trace.Point{Point: p, Symbol: m.symbols[i], Address: m.address(i), Why: "the first candidate that this kernel has"}
		if p == "clone_returns" {
			point.Symbol, point.Address, point.Why = m.symbols[0], 0, "where the call of "+m.symbols[0]+" returns to"
		}
		h.Points = append(h.Points, point)
	}
	return h
}

// address is where the point with index i is; functions lie in no order in a kernel.
func (m machine) address(i int) trace.Word {
	places := [...]uint64{0, 1, 2, 3, 4, 8, 5, 9, 6, 7}
	return trace.Word(m.base + places[i]*0x1340)
}

// stop returns the stop at the point with index i.
func (m machine) stop(i int) trace.Event {
	parent := &trace.Task{Address: trace.Word(m.parent), PID: 83, TGID: 83, Comm: "fork-new"}
	e := trace.Event{
		Kind: trace.KindStop, Point: Points()[i], Symbol: m.symbols[i], Address: m.address(i),
		Task: parent, Role: "parent", Round: 1,
		Registers: map[string]trace.Word{
			m.roles["pc"]: m.address(i), m.roles["sp"]: trace.Word(m.stack - 0x40c0), m.roles["ret"]: 0, "rbx": 0, "fp": 0,
		},
	}
	if link := m.roles["link"]; link != "" {
		e.Registers[link] = 0
	}
	top := m.stack + 0x4000
	sp := top - uint64(m.user)
	threadSP := sp - uint64(m.frame)
	word := func(v uint64) trace.Word { return trace.Word(v) }
	switch e.Point {
	case "sys_clone":
		if link := m.roles["link"]; link != "" {
			e.Registers[link] = m.address(slices.Index(Points(), "clone_returns"))
		}
		e.Arms = Points()[1:7]
		e.Fields = map[string]trace.Field{
			"task_struct.pid":  {Offset: 1256, Size: 4, Type: "pid_t"},
			"task_struct.tgid": {Offset: 1260, Size: 4, Type: "pid_t"},
			"task_struct.comm": {Offset: 1768, Size: 16, Type: "char[16]"},
		}
		e.Args = []trace.Arg{
			{Name: "clone_flags", Type: "unsigned long", Value: word(m.flags | 17)},
			{Name: "newsp", Type: "unsigned long"},
		}
		e.Reads = map[string]trace.Word{"number": map[string]trace.Word{"x86_64": 56, "riscv64": 220}[m.arch]}
	case "kernel_clone":
		e.Args = []trace.Arg{{Name: "args", Type: "struct kernel_clone_args *", Value: word(m.stack - 0x4120)}}
		e.Reads = map[string]trace.Word{"flags": word(m.flags), "exit_signal": 17, "user_pc": 0x4030a5}
	case "dup_task_struct":
		e.Finds = map[string]trace.Word{"child": word(m.child)}
		e.Args = []trace.Arg{
			{Name: "dst", Type: "struct task_struct *", Value: word(m.child)},
			{Name: "src", Type: "struct task_struct *", Value: word(m.parent)},
		}
	case "pid_vnr":
		e.Args = []trace.Arg{{Name: "pid", Type: "struct pid *", Value: word(m.child + 0x40000)}}
		e.Reads = map[string]trace.Word{"number": 84}
	case "clone_returns":
		e.Registers[m.roles["ret"]] = 84
		if m.roles["link"] == "" {
			e.Registers[m.roles["sp"]] += 8 // the return address was on the stack
		}
		e.Args = []trace.Arg{
			{Name: "clone_flags", Type: "unsigned long", Value: word(m.flags | 17)},
			{Name: "newsp", Type: "unsigned long"},
		}
	case "wake_up_new_task":
		e.Arms = []string{"ret_from_fork"}
		e.Args = []trace.Arg{{Name: "p", Type: "struct task_struct *", Value: word(m.child)}}
		e.Reads = map[string]trace.Word{"child_pid": 84, "thread_sp": word(threadSP), "start": m.address(slices.Index(Points(), "ret_from_fork"))}
	case "ret_from_fork":
		e.Arms, e.Disarms = []string{"release_task"}, append([]string{"ret_from_fork"}, Points()[1:7]...)
		e.Fields = map[string]trace.Field{
			"task_struct.stack":     {Offset: 32, Size: 8, Type: "void *"},
			"task_struct.thread.sp": {Offset: 4912, Size: 8, Type: "unsigned long"},
		}
		e.Task = &trace.Task{Address: word(m.child), PID: 84, TGID: 84, Comm: "fork-new"}
		e.Role = "child"
		e.Registers = map[string]trace.Word{
			m.roles["pc"]: e.Address, m.roles["sp"]: word(sp), m.roles["ret"]: word(m.parent), "rbx": 0, "fp": 0,
		}
		if link := m.roles["link"]; link != "" {
			e.Registers[link] = 0
		}
		e.Reads = map[string]trace.Word{
			"thread_sp": word(threadSP), "stack": word(m.stack), "stack_top": word(top), "stack_end": 0x57ac6e9d,
			"came_from": e.Address, "user_ret": 0, "user_pc": 0x4030a5, "user_sp": 0x7ffc8a3be0c8,
			"parent_user_pc": 0x4030a5, "user_mode": word(m.userMode),
		}
	case "release_task":
		e.Disarms = []string{"release_task"}
		e.Args = []trace.Arg{{Name: "p", Type: "struct task_struct *", Value: word(m.child)}}
		e.Reads = map[string]trace.Word{"exit_code": 0}
	}
	for j, r := range m.args {
		if e.Registers[r] += 0; i > 0 && e.Point != "clone_returns" && j < len(e.Args) { // a system call's are in memory
			e.Registers[r] = e.Args[j].Value
		}
	}
	return e
}

// Renumber sets the numbers and times of t's events again.
func Renumber(t *trace.Trace) {
	for i := range t.Events {
		e := &t.Events[i]
		e.Seq, e.Time = i+1, int64(i+1)*int64(20*time.Millisecond)
		switch {
		case i == 0:
			e.Time = 0
		case e.Kind == trace.KindEnd && t.Events[i-1].Kind == trace.KindExit:
			t.Events[i-1].Time = e.Time
		}
	}
}

// Index returns the index of the first stop at a point. It panics if there is none.
func Index(t *trace.Trace, point string) int {
	i := slices.IndexFunc(t.Events, func(e trace.Event) bool { return e.Point == point })
	if i < 0 {
		panic("tracetest: no stop at " + point)
	}
	return i
}

// Drop removes the stops at points.
func Drop(t *trace.Trace, points ...string) {
	t.Events = slices.DeleteFunc(t.Events, func(e trace.Event) bool { return slices.Contains(points, e.Point) })
	Renumber(t)
}

// Move moves the first stop at point before the first at another.
func Move(t *trace.Trace, point, before string) {
	i := Index(t, point)
	e := t.Events[i]
	t.Events = slices.Delete(t.Events, i, i+1)
	t.Events = slices.Insert(t.Events, Index(t, before), e)
	Renumber(t)
}

// SecondCall repeats the call up to and including the last point, as round 2, with
// a second child.
func SecondCall(t *trace.Trace, last string) {
	from, to := Index(t, "sys_clone"), Index(t, last)
	var more []trace.Event
	for _, e := range t.Events[from : to+1] {
		e.Round = 2
		more = append(more, e)
	}
	exit := len(t.Events) - 2
	t.Events = slices.Insert(t.Events, exit, more...)
	Renumber(t)
}

// SetRead changes a value read at the first stop at a point.
func SetRead(t *trace.Trace, point, name string, v trace.Word) {
	e := &t.Events[Index(t, point)]
	e.Reads = maps.Clone(e.Reads)
	e.Reads[name] = v
}

// SetExit changes how the program ended.
func SetExit(t *trace.Trace, x trace.Exit) {
	i := slices.IndexFunc(t.Events, func(e trace.Event) bool { return e.Kind == trace.KindExit })
	t.Events[i].Exit = &x
}
