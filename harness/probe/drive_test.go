package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/plan"
	"kernellab/harness/rsp"
	"kernellab/harness/trace"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
)

// The tests of this file drive a made machine. Its gdbstub has all that package rsp
// needs, its kernel has the functions and types below, and its guest is a list of
// addresses that it executes. It stops only at the driver's breakpoints, unless the
// test says otherwise.

// The tasks of a made guest: the lab's program, its children, and an unrelated process.
const (
	parent   = 0xffffffd8_00010000
	child    = 0xffffffd8_00011000
	other    = 0xffffffd8_00012000
	stranger = 0xffffffd8_00013000
	thread   = 0xffffffd8_00014000

	pid = 83 // machinetest's programs have it

	callRegs = 0xffffffd8_00020000 // the parent's struct pt_regs
	memory   = 0xffffffd8_00030000 // what reads are about
	area     = 0xffffffd8_00040000 // the parent's vm_struct
	mm       = 0xffffffd8_00041000
	stack    = 0xffffffd8_00050000
)

func functions() []string {
	return []string{
		"__riscv_sys_clone", "copy_process(int pid, struct clone_args *args)", "wake_up_new_task(struct task_struct *p)",
		"ret_from_fork(struct task_struct *p)", "do_exit(long code)", "schedule", "kernel_map",
		"vfs_read(struct file *file, int fd)",
	}
}

func structs() []kerneltest.Struct {
	const word = 8
	regs := kerneltest.Struct{Name: "pt_regs", Members: []kerneltest.Member{}}
	for i, name := range strings.Fields("epc orig_a0 a1 a2 a3 a4 a5 a6 sp a0") {
		regs.Members = append(regs.Members, kerneltest.Member{Name: name, Offset: word * i, Size: word})
		regs.Size += word
	}
	return []kerneltest.Struct{
		{Name: "task_struct", Size: 192, Members: []kerneltest.Member{
			{Name: "pid", Size: 4}, {Name: "tgid", Offset: 4, Size: 4}, {Name: "comm", Offset: 8, Size: 1, Count: 16},
			{Name: "real_parent", Offset: 24, To: "task_struct"}, {Name: "mm", Offset: 32, To: "mm_struct"},
			{Name: "stack", Offset: 40, Size: word}, {Name: "stack_vm_area", Offset: 48, To: "vm_struct"},
			{Name: "thread", Offset: 56, In: "thread_struct"}, {Name: "exit_code", Offset: 176, Size: 4},
		}},
		{Name: "thread_struct", Size: 120, Members: []kerneltest.Member{
			{Name: "ra", Size: word}, {Name: "sp", Offset: 8, Size: word}, {Name: "s", Offset: 16, Size: word, Count: 12},
		}},
		{Name: "vm_struct", Size: 8, Members: []kerneltest.Member{{Name: "nr_pages", Size: 4}}},
		{Name: "mm_struct", Size: 8, Members: []kerneltest.Member{{Name: "pgd", Size: word}}},
		{Name: "kernel_mapping", Size: 8, Members: []kerneltest.Member{{Name: "va_pa_offset", Size: word}}},
		{Name: "clone_args", Size: 8, Members: []kerneltest.Member{{Name: "flags", Size: word}}},
		{Name: "file", Size: 16, Members: []kerneltest.Member{{Name: "f_flags", Size: 4}, {Name: "f_pos", Offset: 8, Size: word}}},
		regs,
	}
}

func words(all ...uint64) (b []byte) {
	for _, w := range all {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// made has the bytes of a task_struct.
func made(pid, tgid uint32, comm string, more ...uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, pid)
	b = binary.LittleEndian.AppendUint32(b, tgid)
	b = append(b, append([]byte(comm), make([]byte, 16)...)[:16]...)
	return append(b, words(more...)...)
}

// tasks returns the guest's memory before the program starts.
func tasks() []machinetest.Event {
	load := machinetest.Load
	return []machinetest.Event{
		load(parent, made(pid, pid, "fork", stranger, mm, stack, area, 0, stack+0x3000)),
		load(child, made(pid+1, pid+1, "fork", parent, mm, stack+0x4000, area, 0, stack+0x7000)),
		load(other, made(pid+2, pid+2, "fork", parent)),
		load(stranger, made(99, 99, "sh")),
		load(thread, made(pid+3, pid, "fork")),
		load(area, words(4)),
		load(callRegs, words(0x10000, 17, 0, 0x111, 0, 0x222)),
	}
}

// script returns a guest's events; at returns the address of a function.
type script func(at func(name string) uint64) []machinetest.Event

// call is a task that enters a function, with its stack pointer, return address and
// first arguments.
func call(addr, task, sp, ra uint64, args ...uint64) machinetest.Event {
	regs := map[string]uint64{"tp": task, "sp": sp, "ra": ra}
	for i, v := range args {
		regs[fmt.Sprintf("a%d", i)] = v
	}
	return machinetest.At(addr, regs)
}

// end is the program's end.
var end = machinetest.Answer(mailbox.Reply{PID: pid, Exit: &mailbox.Exit{}}, "")

// lab is a machine whose program has not started, and the arguments to drive it.
type lab struct {
	machine *machine.Machine
	config  Config
	trace   []trace.Event
}

// newLab returns a machine whose program does the events of s.
func newLab(t *testing.T, all Plan, g machinetest.Guest, s script) *lab {
	t.Helper()
	var image *kernel.Image
	at := func(name string) uint64 {
		sym, err := image.Symbols.Lookup(name)
		if err != nil {
			panic(err) // the test's mistake
		}
		return sym.Addr
	}
	g.Functions, g.Structs = functions(), structs()
	g.Serve = func(r mailbox.Request) []machinetest.Event {
		if r.Op == mailbox.OpRun {
			return s(at)
		}
		return machinetest.Serve(r)
	}
	g.Boot = append(g.Boot, tasks()...)
	spec := machinetest.Spec(t, g)
	image = spec.Image
	m, err := spec.Start(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	p, err := m.Agent.Start(t.Context(), guest.Program{Path: "/bin/x"})
	if err == nil {
		err = p.Release(t.Context(), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{machine: m}
	l.config = Config{
		Guest: m.Debugger(), Image: spec.Image, Arch: spec.Arch, Plan: all, TGID: p.PID, End: m.Mark,
		Emit: func(e trace.Event) error { l.trace = append(l.trace, e); return nil },
	}
	return l
}

// brief returns one line with the driver's decision about a stop.
func brief(e trace.Event) string {
	s := fmt.Sprintf("%s by %d", e.Point, e.Task.PID)
	if e.ByOther {
		s += ", of the lab but for its task"
	}
	if e.Aside != "" {
		return s + ": " + e.Aside
	}
	s += fmt.Sprintf(" as %s in %d", e.Role, e.Round)
	for _, role := range []string{"child", "made"} {
		if addr, ok := e.Finds[role]; ok {
			s += fmt.Sprintf(" %s=%#x", role, uint64(addr)&0xffff)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Reads)) {
		s += fmt.Sprintf(" %s=%d", name, e.Reads[name])
	}
	for _, name := range e.Arms {
		s += " +" + name
	}
	for _, name := range e.Disarms {
		s += " -" + name
	}
	return s
}

func briefs(all []trace.Event) (lines []string) {
	for _, e := range all {
		lines = append(lines, brief(e))
	}
	return lines
}

// forks is a lab about one clone: the call, the copy and its return, which finds the
// child, the waking of the child, and its first instruction.
func forks() Plan {
	return Plan{Points: []plan.Point{
		{Name: "sys_clone", Role: "parent", Entry: true, Step: true, When: "arg.clone_flags == 17"},
		{Name: "copy", Place: "copy_process", Role: "parent", Step: true},
		{Name: "copied", ReturnOf: "copy", Role: "parent", Finds: []plan.Named{{Name: "child", Expr: "ret"}}, Step: true},
		{Name: "wake", Place: "wake_up_new_task", Role: "parent", When: "arg.p == child", Step: true},
		{Name: "first", Place: "ret_from_fork", Role: "child", Step: true},
	}}
}

// fork returns the events of one fork by the parent of that lab.
func fork(at func(string) uint64) []machinetest.Event {
	back := at("schedule") + 8
	return []machinetest.Event{
		call(at("__riscv_sys_clone"), parent, stack+0x3f00, 0, callRegs),
		call(at("copy_process"), parent, stack+0x3e00, back, 0, memory),
		call(back, parent, stack+0x3e00, back, child),
		call(at("wake_up_new_task"), parent, stack+0x3e00, 0, child),
		call(at("ret_from_fork"), child, stack+0x7f00, 0, other),
	}
}

// forked is the trace of such a fork.
func forked() []string {
	return []string{
		"sys_clone by 83 as parent in 1 +copy +wake +first",
		"copy by 83 as parent in 1",
		"copied by 83 as parent in 1 child=0x1000",
		"wake by 83 as parent in 1",
		"first by 84 as child in 1 -copy -wake -first",
	}
}

// again is the trace of a second fork. If the first fork was complete, everything is
// armed again.
func again(over bool) []string {
	entry := "sys_clone by 83 as parent in 2"
	if over {
		entry += " +copy +wake +first"
	}
	return []string{
		entry,
		"copy by 83 as parent in 2",
		"copied by 83 as parent in 2 child=0x1000",
		"wake by 83 as parent in 2",
		"first by 84 as child in 2 -copy -wake -first",
	}
}

// with inserts events into a fork, before event i.
func with(i int, more ...func(at func(string) uint64) machinetest.Event) script {
	return func(at func(string) uint64) []machinetest.Event {
		var events []machinetest.Event
		for _, e := range more {
			events = append(events, e(at))
		}
		return append(slices.Insert(fork(at), i, events...), end)
	}
}

// by is a task that enters a function.
func by(name string, task uint64, args ...uint64) func(func(string) uint64) machinetest.Event {
	return func(at func(string) uint64) machinetest.Event {
		return call(at(name), task, stack+0x100, 0, args...)
	}
}

// note inserts a line into the trace.
func note(trace []string, i int, lines ...string) []string { return slices.Insert(trace, i, lines...) }

func TestDrive(t *testing.T) {
	for name, c := range map[string]struct {
		does script
		want []string
	}{
		"a fork":                {with(0), forked()},
		"an end without a stop": {func(func(string) uint64) []machinetest.Event { return []machinetest.Event{end} }, nil},
		// Points that are not armed do not stop the guest.
		"points before the entry": {with(0, by("copy_process", parent), by("wake_up_new_task", parent, child), by("ret_from_fork", child)), forked()},
		"points after the last":   {with(5, by("copy_process", parent), by("wake_up_new_task", parent, child), by("ret_from_fork", child)), forked()},
		"stops after the end": {func(at func(string) uint64) []machinetest.Event {
			return append([]machinetest.Event{end}, fork(at)...)
		}, nil},
		"the entry by another process": {with(0, by("__riscv_sys_clone", stranger, callRegs)), note(forked(), 0, "sys_clone by 99: another task")},
		// A thread of the program also begins a round, and its other calls are part of
		// it.
		"the entry by a thread": {with(0, by("__riscv_sys_clone", thread, callRegs), by("copy_process", thread)), append([]string{
			"sys_clone by 86 as parent in 1 +copy +wake +first",
			"copy by 86 as parent in 1",
		}, again(false)...)},
		"another call by the parent": {with(0, func(at func(string) uint64) machinetest.Event {
			return call(at("__riscv_sys_clone"), parent, 0, 0, memory) // flags 0
		}), note(forked(), 0, "sys_clone by 83: not the call the lab is about: arg.clone_flags == 17")},
		"a step, but by another task": {with(3, by("wake_up_new_task", thread, child)), note(forked(), 3, "wake by 86, of the lab but for its task: another task")},
		"a step by another task":      {with(1, by("copy_process", other)), note(forked(), 1, "copy by 85: another task")},
		"another child is woken":      {with(3, by("wake_up_new_task", parent, other)), note(forked(), 3, "wake by 83: not the call the lab is about: arg.p == child")},
		"woken before it is made":     {with(1, by("wake_up_new_task", parent, child)), note(forked(), 1, "wake by 83: not the call the lab is about: arg.p == child")},
		"the wrong child":             {with(4, by("ret_from_fork", other)), note(forked(), 4, "first by 85: another task")},
		"the parent as its child":     {with(4, by("ret_from_fork", parent)), note(forked(), 4, "first by 83: another task")},
		// Other tasks, and the same task in another call, also pass the return address
		// of a call.
		"the return of another task's call": {with(2, func(at func(string) uint64) machinetest.Event {
			return call(at("schedule")+8, other, stack+0x3e00, 0, other)
		}), forked()},
		"the return of another call": {with(2, func(at func(string) uint64) machinetest.Event {
			return call(at("schedule")+8, parent, stack+0x3d00, 0, other)
		}), forked()},
		// The inner call is a separate stop, and each return belongs to its own call.
		"a nested call": {with(2, func(at func(string) uint64) machinetest.Event {
			return call(at("copy_process"), parent, stack+0x3d00, at("schedule")+8, 0, memory)
		}, func(at func(string) uint64) machinetest.Event {
			return call(at("schedule")+8, parent, stack+0x3d00, 0, other)
		}), note(forked(), 2, "copy by 83 as parent in 1", "copied by 83 as parent in 1 child=0x2000")},
		"two forks": {func(at func(string) uint64) []machinetest.Event {
			return append(append(fork(at), fork(at)...), end)
		}, append(forked(), again(true)...)},
		"a program at the place of the end": {with(2, func(func(string) uint64) machinetest.Event { return machinetest.Stranger }), forked()},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, forks(), machinetest.Guest{}, c.does)
			if err := Drive(t.Context(), l.config); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, briefs(l.trace)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Steps within a call do not count in later calls of the task.
func TestDriveWithin(t *testing.T) {
	plan := forks()
	for _, i := range []int{1, 3} {
		plan.Points[i].Within = "sys_clone"
	}
	later := []func(func(string) uint64) machinetest.Event{by("copy_process", parent), by("wake_up_new_task", parent, child)}
	const copies, wakes = "copy by 83: another call of the same task", "wake by 83: another call of the same task"
	failed := func(at func(string) uint64) []machinetest.Event {
		entered := fork(at)[:2] // and the kernel refuses the call
		return append(entered, with(0, later...)(at)...)
	}
	for name, c := range map[string]struct {
		does script
		want []string
	}{
		"one call":              {with(0), forked()},
		"before the child runs": {with(4, later...), note(forked(), 4, copies, wakes)},
		"after a call that failed": {failed, append([]string{
			"sys_clone by 83 as parent in 1 +copy +wake +first",
			"copy by 83 as parent in 1",
			copies,
			"wake by 83: not the call the lab is about: arg.p == child",
		}, again(false)...)},
		"two calls of the lab": {func(at func(string) uint64) []machinetest.Event {
			return append(append(fork(at), fork(at)...), end)
		}, append(forked(), again(true)...)},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, plan, machinetest.Guest{}, c.does)
			if err := Drive(t.Context(), l.config); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, briefs(l.trace)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Alternatives to the entry are asides until the entry is hit.
func TestDriveInstead(t *testing.T) {
	all := forks()
	all.Instead = []plan.Point{
		{Name: "vfs_read", Place: "vfs_read", Aside: "another way"},
		{Name: "none", Place: "no_function_of_this_kernel", Aside: "a way that this kernel lacks"},
	}
	for name, c := range map[string]struct {
		does script
		want []string
	}{
		"before the entry": {with(0, by("vfs_read", parent), by("vfs_read", thread), by("vfs_read", stranger)),
			note(forked(), 0, "vfs_read by 83: another way", "vfs_read by 86: another way")},
		"after the entry": {with(1, by("vfs_read", parent)), forked()},
		"and nothing else": {func(at func(string) uint64) []machinetest.Event {
			return []machinetest.Event{by("vfs_read", parent)(at), end}
		}, []string{"vfs_read by 83: another way"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, all, machinetest.Guest{}, c.does)
			if err := Drive(t.Context(), l.config); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, briefs(l.trace)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			header := HeaderInstead(l.config.Image, all)
			if len(header) != 1 || header[0].Point != "vfs_read" || header[0].Address == 0 {
				t.Errorf("the header has %+v", header)
			}
		})
	}
}

// If a drive cannot continue, the error says why and the trace ends there.
func TestDriveEndsEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	full := errors.New("the disk is full")
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	stray := func(where string) func(error) bool {
		return func(err error) bool {
			var s *StrayStopError
			return errors.As(err, &s) && s.Where == where && s.Signal == rsp.SignalTrap && strings.Contains(err.Error(), where)
		}
	}
	flood := func(n int) script {
		return func(at func(string) uint64) []machinetest.Event {
			return append(slices.Repeat([]machinetest.Event{machinetest.Stranger}, n), end)
		}
	}
	stop := func(name string, off uint64) func(func(string) uint64) machinetest.Event {
		return func(at func(string) uint64) machinetest.Event {
			addr := uint64(0x1234)
			if name != "" {
				addr = at(name) + off
			}
			return machinetest.Stop(addr)
		}
	}
	event := func(e machinetest.Event) func(func(string) uint64) machinetest.Event {
		return func(func(string) uint64) machinetest.Event { return e }
	}
	for name, c := range map[string]struct {
		does  script
		emit  func(trace.Event) error
		fault func(error) bool
		want  int // events
	}{
		"stops in no function":          {does: with(2, stop("", 0)), fault: stray("no symbol"), want: 2},
		"stops where nobody asked":      {does: with(2, stop("do_exit", 0)), fault: stray("do_exit+0x0"), want: 2},
		"stops beside a point":          {does: with(2, stop("copy_process", 4)), fault: stray("copy_process+0x4"), want: 2},
		"stops at a point before entry": {does: with(0, stop("copy_process", 0)), fault: stray("copy_process+0x0")},
		"stops at a point after all":    {does: with(5, stop("copy_process", 0)), fault: stray("copy_process+0x0"), want: 5},
		"QEMU is killed":                {does: with(3, event(machinetest.Exit("signal: killed"))), fault: is(rsp.ErrClosed), want: 3},
		"QEMU is killed at once":        {does: with(0, event(machinetest.Exit("signal: killed"))), fault: is(rsp.ErrClosed)},
		"a flood":                       {does: flood(maxStray + 1), fault: is(ErrFlood)},
		"less than a flood":             {does: flood(maxStray), fault: is(nil)},
		"ctx ends": {does: with(2, event(func(*machinetest.VM) bool { cancel(); return false }), event(machinetest.Hang)),
			fault: is(context.Canceled), want: 2},
		"a stop is not emitted": {does: with(0), emit: func(e trace.Event) error {
			if e.Point == "wake" {
				return full
			}
			return nil
		}, fault: is(full), want: 4},
		"an aside is not emitted": {does: with(1, by("copy_process", other)), emit: func(e trace.Event) error {
			if e.Aside != "" {
				return full
			}
			return nil
		}, fault: is(full), want: 2},
		"a return that gives no task": {does: func(at func(string) uint64) []machinetest.Event {
			return append(fork(at)[:2], call(at("schedule")+8, parent, stack+0x3e00, 0, 0), end)
		}, fault: func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "find the child: ret gives no task")
		}, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, forks(), machinetest.Guest{}, c.does)
			keep := l.config.Emit
			l.config.Emit = func(e trace.Event) error {
				if err := keep(e); err != nil || c.emit == nil {
					return err
				}
				return c.emit(e)
			}
			with := t.Context()
			if name == "ctx ends" {
				with = ctx
			}
			if err := Drive(with, l.config); !c.fault(err) {
				t.Errorf("Drive = %v", err)
			}
			if len(l.trace) != c.want {
				t.Errorf("%d events, want %d:\n%s", len(l.trace), c.want, strings.Join(briefs(l.trace), "\n"))
			}
		})
	}
}

// If a signal interrupts a clone, copy_process returns an error, and the clone is
// entered again after the signal was handled. That is a second round.
func TestDriveRestart(t *testing.T) {
	all := forks()
	all.Points[2].Finds = nil
	all.Points[3].When, all.Points[3].Finds = "", []plan.Named{{Name: "child", Expr: "arg.p"}}
	all.Points[2].Reads = []plan.Named{{Name: "error", Expr: "0 - ret"}}
	l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		back := at("schedule") + 8
		events := append(fork(at)[:2:2], call(back, parent, stack+0x3e00, back, 1<<64-513)) // -ERESTARTNOINTR
		again := fork(at)
		again[2] = call(back, parent, stack+0x3e00, back, 0)
		return append(append(events, again...), end)
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	want := []string{
		"sys_clone by 83 as parent in 1 +copy +wake +first",
		"copy by 83 as parent in 1",
		"copied by 83 as parent in 1 error=513",
		"sys_clone by 83 as parent in 2",
		"copy by 83 as parent in 2",
		"copied by 83 as parent in 2 error=0",
		"wake by 83 as parent in 2 child=0x1000",
		"first by 84 as child in 2 -copy -wake -first",
	}
	if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
