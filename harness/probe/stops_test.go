package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/plan"
	"kernellab/harness/rsp"
	"kernellab/harness/trace"
)

// broken is a guest with one operation that fails from its n-th use on.
type broken struct {
	Guest
	op    string
	n     int
	err   error
	calls map[string]int
}

func (b *broken) fail(op string) error {
	b.calls[op]++
	if op == b.op && b.calls[op] >= b.n {
		return b.err
	}
	return nil
}

func (b *broken) Registers(ctx context.Context) (rsp.Registers, error) {
	if err := b.fail("registers"); err != nil {
		return nil, err
	}
	return b.Guest.Registers(ctx)
}

func (b *broken) ReadMemory(ctx context.Context, addr uint64, buf []byte) error {
	if err := b.fail("read"); err != nil {
		return err
	}
	return b.Guest.ReadMemory(ctx, addr, buf)
}

func (b *broken) Insert(ctx context.Context, addr uint64) error {
	if err := b.fail("insert"); err != nil {
		return err
	}
	return b.Guest.Insert(ctx, addr)
}

func (b *broken) Remove(ctx context.Context, addr uint64) error {
	if err := b.fail("remove"); err != nil {
		return err
	}
	return b.Guest.Remove(ctx, addr)
}

func (b *broken) Resume(ctx context.Context) error {
	if err := b.fail("resume"); err != nil {
		return err
	}
	return b.Guest.Resume(ctx)
}

func (b *broken) Wait(ctx context.Context) (rsp.Stop, error) {
	if err := b.fail("wait"); err != nil {
		return rsp.Stop{}, err
	}
	return b.Guest.Wait(ctx)
}

func (b *broken) Step(ctx context.Context, thread string) (rsp.Stop, error) {
	if err := b.fail("step"); err != nil {
		return rsp.Stop{}, err
	}
	return b.Guest.Step(ctx, thread)
}

func (b *broken) Stopped(ctx context.Context) (string, error) {
	if err := b.fail("stopped"); err != nil {
		return "", err
	}
	return b.Guest.Stopped(ctx)
}

func (b *broken) Leave(ctx context.Context, pc uint64, breaks func(uint64) bool) (bool, error) {
	if err := b.fail("leave"); err != nil {
		return false, err
	}
	return b.Guest.Leave(ctx, pc, breaks)
}

func (b *broken) Clock(ctx context.Context) (int64, error) {
	if err := b.fail("clock"); err != nil {
		return 0, err
	}
	return b.Guest.Clock(ctx)
}

// If an operation of the stub fails, the drive ends with that error, which names the
// operation.
func TestDriveGuestFails(t *testing.T) {
	lost := errors.New("the cable was pulled")
	for _, c := range []struct {
		op   string
		n    int
		want string // the error's beginning
		seen int    // events until then
	}{
		{"insert", 1, "break at the program's end: ", 0},
		{"insert", 2, "break at sys_clone (__riscv_sys_clone): ", 0},
		{"insert", 3, "break at copy (copy_process): ", 1},
		{"insert", 6, "break at the return of copy_process: ", 2},
		{"registers", 1, "", 0},
		{"registers", 2, "read registers: ", 0},
		{"leave", 1, "move over the breakpoint at __riscv_sys_sethostname+0x0: ", 0},
		{"leave", 2, "move over the breakpoint at __riscv_sys_clone+0x0: ", 1},
		{"step", 1, "step off the breakpoint at __riscv_sys_clone+0x0: ", 1},
		{"resume", 1, "resume the guest: ", 0},
		{"resume", 3, "resume the guest: ", 2},
		{"wait", 1, "wait for a stop: ", 0},
		{"wait", 5, "wait for a stop: ", 4},
		{"clock", 1, "at __riscv_sys_clone+0x0: ", 0},
		{"clock", 3, "at schedule+0x8: ", 2},
		{"read", 1, "at __riscv_sys_clone+0x0: read the task at ", 0},
		{"remove", 1, "remove the breakpoint at copied (schedule+0x8): ", 3},
		{"remove", 2, "remove the breakpoint at copy (copy_process+0x0): ", 5},
	} {
		t.Run(fmt.Sprintf("%s %d", c.op, c.n), func(t *testing.T) {
			l := newLab(t, forks(), machinetest.Guest{}, with(0))
			l.config.Guest = &broken{Guest: l.config.Guest, op: c.op, n: c.n, err: lost, calls: map[string]int{}}
			err := Drive(t.Context(), l.config)
			if !errors.Is(err, lost) || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("Drive = %v, want %q", err, c.want)
			}
			if len(l.trace) != c.seen {
				t.Errorf("%d events, want %d", len(l.trace), c.seen)
			}
		})
	}
}

// A single step from a breakpoint may end where it started, after an exception, or at
// another breakpoint.
func TestDriveStep(t *testing.T) {
	twice := func(at func(string) uint64) []machinetest.Event {
		events := fork(at)
		return append(append(events[:1:1], events...), end)
	}
	off := func(vm *machinetest.VM, at func(string) uint64) { vm.Set("pc", at("schedule")) }
	for name, c := range map[string]struct {
		step func(vm *machinetest.VM, at func(string) uint64) // the first; others lead off the breakpoint
		does script
		want []string
	}{
		// The entry stops a second time with the same registers: it is the same stop.
		"nowhere": {func(*machinetest.VM, func(string) uint64) {}, twice, forked()},
		"into another function, as an exception does": {off, twice, forked()},
		// The same registers again are another call, because the step ran its
		// instruction.
		"to the next instruction": {func(vm *machinetest.VM, at func(string) uint64) { vm.Set("pc", at("__riscv_sys_clone")+4) }, twice,
			append(forked()[:1], again(false)...)},
		"to another breakpoint": {func(vm *machinetest.VM, at func(string) uint64) {
			vm.Set("pc", at("copy_process"))
			vm.Set("ra", at("schedule")+8)
			vm.Set("sp", stack+0x3d00)
		}, with(0), note(forked(), 1, "copy by 83 as parent in 1")},
	} {
		t.Run(name, func(t *testing.T) {
			var at func(string) uint64
			step := c.step
			g := machinetest.Guest{Step: func(vm *machinetest.VM) { step(vm, at); step = off }}
			l := newLab(t, forks(), g, func(found func(string) uint64) []machinetest.Event {
				at = found
				return c.does(at)
			})
			if err := Drive(t.Context(), l.config); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(c.want, briefs(l.trace)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A step over the call that ftrace writes to a function's beginning runs an instruction,
// though it leads into another function: the same registers again are another call.
func TestDriveStepsIntoCall(t *testing.T) {
	g := machinetest.Guest{}
	var schedule uint64
	g.Step = func(vm *machinetest.VM) { vm.Set("pc", schedule) }
	l := newLab(t, forks(), g, func(at func(string) uint64) []machinetest.Event {
		schedule = at("schedule")
		from := at("__riscv_sys_clone")
		code := binary.LittleEndian.AppendUint32([]byte{0xe8}, uint32(schedule-from-5))
		events := fork(at)
		return append([]machinetest.Event{machinetest.Load(from, append(code, 0, 0, 0))}, append(append(events[:1:1], events...), end)...)
	})
	l.config.Arch.CallOpcode = 0xe8
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(append(forked()[:1], again(false)...), briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A nop under a breakpoint is skipped without a single step, unless that leads to
// another breakpoint.
func TestDriveLeaves(t *testing.T) {
	l := newLab(t, forks(), machinetest.Guest{Step: func(*machinetest.VM) { t.Error("a step over a nop") }}, func(at func(string) uint64) []machinetest.Event {
		var events []machinetest.Event
		for _, name := range []string{"__riscv_sys_clone", "copy_process", "wake_up_new_task", "ret_from_fork", "schedule"} {
			events = append(events, machinetest.Load(at(name), []byte{0x13, 0, 0, 0, 0, 0, 0, 0, 0x13, 0, 0, 0}))
		}
		return append(append(events, fork(at)...), end)
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(forked(), briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The guest is already stopped at its first stop, and the events before it are known.
func TestDriveStands(t *testing.T) {
	l := newLab(t, forks(), machinetest.Guest{}, with(0))
	seen := 0
	l.config.Look = func(context.Context, *Here) (bool, error) { seen++; return true, nil }
	if err := Drive(t.Context(), l.config); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(forked()[:1], briefs(l.trace)); diff != "" || seen != 1 {
		t.Fatalf("looked %d times, -want +got:\n%s", seen, diff)
	}
	first := l.trace[0]
	if len(first.Fields) == 0 {
		t.Error("no field was read at the first stop")
	}
	l.trace = nil
	l.config.Stands, l.config.Look = true, nil
	l.config.Before = []trace.Event{first}
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(forked(), briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for path := range l.trace[0].Fields {
		if _, again := first.Fields[path]; again {
			t.Errorf("%s is new at the first stop though an event before it has it", path)
		}
	}

	// A failure there is an error.
	lost := errors.New("the cable was pulled")
	l.config.Guest = &broken{Guest: l.config.Guest, op: "stopped", n: 1, err: lost, calls: map[string]int{}}
	if err := Drive(t.Context(), l.config); !errors.Is(err, lost) {
		t.Errorf("Drive = %v, want %v", err, lost)
	}
	l = newLab(t, forks(), machinetest.Guest{}, with(0))
	l.config.Look = func(context.Context, *Here) (bool, error) { return false, lost }
	if err := Drive(t.Context(), l.config); !errors.Is(err, lost) || len(l.trace) != 1 {
		t.Errorf("Drive = %v after %d events, want %v", err, len(l.trace), lost)
	}
}

// What an expression's value is read from, without what leads there.
func TestExtents(t *testing.T) {
	l := newLab(t, forks(), machinetest.Guest{}, with(0))
	pid := Extent{Addr: parent, Size: 4, Name: "task_struct.pid", Type: "s32"}
	for src, want := range map[string]any{
		"current.pid":                                  []Extent{pid},
		"parent.pid + 0 * current.tgid":                []Extent{pid, {Addr: parent + 4, Size: 4, Name: "task_struct.tgid", Type: "s32"}},
		"hex(current.real_parent.pid)":                 []Extent{{Addr: stranger, Size: 4, Name: "task_struct.pid", Type: "s32"}},
		"str(current.comm)":                            []Extent{{Addr: parent + 8, Size: 5, Name: "str", Text: true}},
		"current.comm":                                 []Extent{{Addr: parent + 8, Size: 16, Name: "task_struct.comm", Type: "s8[16]", Text: true}},
		"current.thread.sp":                            []Extent{{Addr: parent + 64, Size: 8, Name: "task_struct.thread.sp", Type: "s64"}},
		"current.missing ?? current.pid":               []Extent{pid},
		"current.tgid == 0 ? current.mm : current.pid": []Extent{pid},
		"u64(current.thread.sp - 8)":                   []Extent{{Addr: stack + 0x3000 - 8, Size: 8, Name: "u64"}},
		"symbol(current.real_parent)":                  []Extent{{Addr: parent + 24, Size: 8, Name: "task_struct.real_parent", Type: "struct task_struct *"}},
		"arg.clone_flags":                              "arg.clone_flags reads no memory",
		"reg.tp + PF_KTHREAD":                          "reads no memory",
		"differs(current, current)":                    "differs(current, current) reads whole structures",
		"current.nothing":                              "nothing",
	} {
		l.trace = nil
		l.config.Look = func(ctx context.Context, h *Here) (bool, error) {
			got, err := h.Extents(ctx, src)
			if text, fails := want.(string); fails {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%s: %v, want an error with %q", src, err, text)
				}
				return true, nil
			}
			for i := range got {
				got[i].Signed = false
			}
			if diff := cmp.Diff(want, any(got)); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", src, err, diff)
			}
			return true, nil
		}
		if err := Drive(t.Context(), l.config); err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		l = newLab(t, forks(), machinetest.Guest{}, with(0))
	}
}

// exits is a lab with roles that have a condition, points at which any task may stop,
// and points that are armed only for a while.
func exits() Plan {
	return Plan{
		Tasks: []plan.Task{{Role: "made", When: "task.tgid != 83 and task.comm == \"fork\""}},
		Points: []plan.Point{
			{Name: "sys_clone", Role: "parent", Entry: true, Step: true},
			{Name: "run", Place: "schedule", Role: plan.Any, When: "task.pid == 85", Armed: []string{"sys_clone"}, Until: "exit", Hits: &trace.Range{Least: 0, Most: -1}},
			{Name: "copy", Place: "copy_process", Role: "made", When: "read.cpu != arg.pid", Aside: "a copy of no interest", Reads: []plan.Named{{Name: "cpu", Expr: "arg.args.flags"}}, Step: true},
			{Name: "again", Place: "copy_process", Role: "made", When: "copy.arg.pid != arg.pid", Hits: &trace.Range{Least: 0, Most: 1}},
			{Name: "exit", Place: "do_exit", Role: plan.Any, When: "task.address == made", Step: true, Show: []plan.Named{{Expr: "arg.code"}}},
		},
	}
}

func TestDriveRoles(t *testing.T) {
	l := newLab(t, exits(), machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		copy, run, exit := at("copy_process"), at("schedule"), at("do_exit")
		return []machinetest.Event{
			machinetest.Load(memory, words(7)),
			call(at("__riscv_sys_clone"), parent, 0, 0, callRegs),
			call(run, parent, 0, 0), // any task may: not worth a line
			call(run, other, 0, 0),
			call(copy, stranger, 0, 0, 7, memory), // by its name no task of the lab
			call(copy, child, 0, 0, 7, memory),    // the condition is false
			call(copy, child, 0, 0, 8, 0),         // its read cannot be made
			call(copy, other, 0, 0, 8, memory),    // takes the role
			call(copy, child, 0, 0, 8, memory),    // too late
			call(copy, other, 0, 0, 9, memory),
			call(exit, child, 0, 0, 1),
			call(exit, other, 0, 0, 1),
			call(run, other, 0, 0),
			end,
		}
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	want := []string{
		"sys_clone by 83 as parent in 1 +run +copy +again +exit",
		"run by 85 as any in 1",
		"copy by 84: a copy of no interest",
		"copy by 84: a copy of no interest",
		"copy by 85 as made in 1 cpu=7",
		"copy by 84: another task",
		"again by 85 as made in 1",
		"exit by 85 as any in 1 -run -copy -again -exit",
	}
	if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A call at the entry is a later step of the current round, if it can be one.
func TestDriveSamePlace(t *testing.T) {
	all := Plan{Points: []plan.Point{
		{Name: "sys_clone", Role: "parent", Entry: true, Step: true},
		{Name: "second", Place: "sys_clone", Role: "parent", Step: true},
	}}
	want := []string{
		"sys_clone by 83 as parent in 1 +second", "second by 83 as parent in 1 -second",
		"sys_clone by 83 as parent in 2 +second", "second by 83 as parent in 2 -second",
	}
	for range 2 { // in either order
		l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
			var events []machinetest.Event
			for sp := range uint64(4) {
				events = append(events, call(at("__riscv_sys_clone"), parent, stack+0x3f00-0x10*sp, 0, callRegs))
			}
			return append(events, end)
		})
		if err := Drive(t.Context(), l.config); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		slices.Reverse(all.Points)
	}
}

// If a task_struct is found for another role, its former role has no task.
func TestDriveReused(t *testing.T) {
	l := newLab(t, Plan{Points: []plan.Point{
		{Name: "sys_clone", Role: "parent", Entry: true, Step: true},
		{Name: "wake", Place: "wake_up_new_task", Role: "parent", Finds: []plan.Named{{Name: "child", Expr: "arg.p"}}, Step: true},
		{Name: "copy", Place: "copy_process", Role: "parent", Finds: []plan.Named{{Name: "made", Expr: "arg.args"}}, Step: true},
		{Name: "exit", Place: "do_exit", Role: "child", Step: true},
	}}, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		return []machinetest.Event{
			call(at("__riscv_sys_clone"), parent, 0, 0, callRegs),
			call(at("wake_up_new_task"), parent, 0, 0, child),
			call(at("copy_process"), parent, 0, 0, 0, child),
			call(at("do_exit"), child, 0, 0, 0), end,
		}
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	want := []string{
		"sys_clone by 83 as parent in 1 +wake +copy +exit", "wake by 83 as parent in 1 child=0x1000",
		"copy by 83 as parent in 1 made=0x1000", "exit by 84: another task",
	}
	if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A new task in the task_struct of a role's task, which the kernel has freed, is another
// task: it has another pid.
func TestDriveFreed(t *testing.T) {
	l := newLab(t, Plan{Points: []plan.Point{
		{Name: "sys_clone", Role: "parent", Entry: true, Step: true},
		{Name: "wake", Place: "wake_up_new_task", Role: "parent", Finds: []plan.Named{{Name: "child", Expr: "arg.p"}}, Step: true, Hits: &trace.Range{Least: 1, Most: -1}},
		{Name: "exit", Place: "do_exit", Role: "child", Step: true, Hits: &trace.Range{Least: 1, Most: -1}},
	}}, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		return []machinetest.Event{
			call(at("__riscv_sys_clone"), parent, 0, 0, callRegs),
			call(at("wake_up_new_task"), parent, 0, 0, child),
			call(at("do_exit"), child, 0, 0, 0),
			machinetest.Load(child, made(pid+9, pid+9, "fork", parent)),
			call(at("do_exit"), child, 0, 0, 0),
			// What finds the task again finds the new one.
			call(at("wake_up_new_task"), parent, 0, 0, child),
			call(at("do_exit"), child, 0, 0, 0), end,
		}
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	want := []string{
		"sys_clone by 83 as parent in 1 +wake +exit", "wake by 83 as parent in 1 child=0x1000",
		"exit by 84 as child in 1", "exit by 92: another task",
		"wake by 83 as parent in 1 child=0x1000", "exit by 92 as child in 1",
	}
	if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The return of a call counts if its condition is true, in which arg has the arguments of
// the call.
func TestDriveReturnWhen(t *testing.T) {
	all := forks()
	all.Points[2].Finds, all.Points[2].When = nil, "ret == 7 and arg.pid == 3"
	all.Points[3].When = ""
	all.Points[3].Finds = []plan.Named{{Name: "child", Expr: "arg.p"}}
	l := newLab(t, all, machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		back := at("schedule") + 8
		events := fork(at)[:1:1]
		for _, c := range []struct{ pid, ret uint64 }{{3, 0}, {4, 7}, {3, 7}} {
			events = append(events, call(at("copy_process"), parent, stack+0x3e00, back, c.pid, memory), call(back, parent, stack+0x3e00, back, c.ret))
		}
		return append(append(events, fork(at)[3:]...), end)
	})
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	want := []string{
		"sys_clone by 83 as parent in 1 +copy +wake +first",
		"copy by 83 as parent in 1", "copy by 83 as parent in 1", "copy by 83 as parent in 1", "copied by 83 as parent in 1",
		"wake by 83 as parent in 1 child=0x1000", "first by 84 as child in 1 -copy -wake -first",
	}
	if diff := cmp.Diff(want, briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// On architectures with the return address on the stack, the return is found there.
func TestDriveReturnOnStack(t *testing.T) {
	l := newLab(t, forks(), machinetest.Guest{}, func(at func(string) uint64) []machinetest.Event {
		events := fork(at)
		back := at("schedule") + 8
		events[2] = call(back, parent, stack+0x3e08, 0, child) // the return has popped it
		return append(append([]machinetest.Event{
			machinetest.Load(stack+0x3e00, words(back)), call(back, parent, stack+0x3e08, 0, child),
		}, events...), end)
	})
	l.config.Arch.Registers.Link = ""
	if err := Drive(t.Context(), l.config); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(forked(), briefs(l.trace)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A plan that does not fit the kernel, or has an invalid condition, is an error before
// the guest runs.
func TestDrivePlanErrors(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		`task made: condition "1 +"`:                                             func(p *Plan) { p.Tasks = []plan.Task{{Role: "made", When: "1 +"}} },
		`wake: condition "arg.p =="`:                                             func(p *Plan) { p.Points[3].When = "arg.p ==" },
		"no_such_function":                                                       func(p *Plan) { p.Points[1].Place = "no_such_function" },
		"copied is the return of late, which is no earlier":                      func(p *Plan) { p.Points[2].ReturnOf = "late" },
		`first: condition "1 + 1" gives 2: want true or false`:                   func(p *Plan) { p.Points[4].When = "1 + 1" },
		`first: condition "task.pid.x.y == 1": task.pid.x: task.pid is a number`: func(p *Plan) { p.Points[4].When = "task.pid.x.y == 1" },
	} {
		all := forks()
		change(&all)
		l := newLab(t, all, machinetest.Guest{}, with(0))
		if err := Drive(t.Context(), l.config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Drive = %v, want %q", err, want)
		}
	}
	l := newLab(t, forks(), machinetest.Guest{}, with(0))
	x86, err := arch.Lookup("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	l.config.Arch = x86
	if err := Drive(t.Context(), l.config); err == nil || !strings.Contains(err.Error(), "find the running task") {
		t.Errorf("Drive = %v, want that the task is not found", err)
	}
}
