package task

import (
	"context"
	"errors"
	"fmt"

	"kernellab/harness/kernel"
	"kernellab/harness/trace"
)

// Stack is a task's kernel stack.
type Stack struct {
	Bottom trace.Word `json:"bottom"` // lowest address
	Top    trace.Word `json:"top"`    // first address above the stack
	SP     trace.Word `json:"sp"`     // thread.sp, or the CPU's stack pointer for the running task
	Magic  trace.Word `json:"magic"`  // the word at Bottom
	// User are the user registers saved at the top, in the order of struct
	// pt_regs. A kernel thread has none.
	User []trace.Slot `json:"user,omitempty"`
	// Switch are the registers that __switch_to saved, if the task is not running,
	// with the stack pointer first.
	Switch []trace.Slot `json:"switch,omitempty"`
}

// bounds returns the bounds of a task's kernel stack.
func (v *View) bounds(ctx context.Context, task object) (bottom, top uint64, err error) {
	bottom, err = task.number(ctx, "stack")
	if err != nil {
		return 0, 0, err
	}
	if bottom == 0 {
		return 0, 0, errors.New("the kernel has freed the stack: the task has ended")
	}
	size, err := v.sizeOfStack(ctx, task)
	if err != nil {
		return 0, 0, err
	}
	if int64(bottom) >= 0 || bottom%pageSize != 0 || bottom+size < bottom {
		return 0, 0, &PointerError{"task_struct.stack", bottom}
	}
	return bottom, bottom + size, nil
}

// sizeOfStack reads THREAD_SIZE from the vmalloc area of a task's stack. The idle
// task's stack is not a vmalloc area, so it uses the next task's.
func (v *View) sizeOfStack(ctx context.Context, task object) (uint64, error) {
	if v.Reader.stackSize != 0 {
		return v.Reader.stackSize, nil
	}
	area, err := task.number(ctx, "stack_vm_area")
	if err != nil {
		return 0, err
	}
	if area == 0 {
		next, err := task.number(ctx, "tasks.next")
		if err != nil {
			return 0, err
		}
		other, err := v.object("list_head", next).container("task_struct", "tasks")
		if err != nil {
			return 0, err
		}
		if area, err = other.number(ctx, "stack_vm_area"); err != nil {
			return 0, err
		}
	}
	vm := v.object("vm_struct", area)
	if err := vm.valid("task_struct.stack_vm_area"); err != nil {
		return 0, err
	}
	pages, err := vm.number(ctx, "nr_pages")
	if err != nil {
		return 0, err
	}
	const most = 64
	if pages == 0 || pages > most {
		return 0, fmt.Errorf("a kernel stack cannot have %d pages", pages)
	}
	v.Reader.stackSize = pages * pageSize
	return v.Reader.stackSize, nil
}

// stack reads the stack's bounds and the registers saved on it.
func (v *View) stack(ctx context.Context, i *Info, task object, regs map[string]uint64) Stack {
	var s Stack
	bottom, top, err := v.bounds(ctx, task)
	if !i.note("stack", err) {
		return s
	}
	s.Bottom, s.Top = trace.Word(bottom), trace.Word(top)
	magic, err := v.word(ctx, bottom)
	i.note("stack magic", err)
	s.Magic = trace.Word(magic)
	if !i.KernelThread {
		s.User, err = v.slots(ctx, "pt_regs", top-uint64(v.topSize))
		i.note("user registers", err)
	}
	if regs != nil {
		s.SP = trace.Word(regs[v.arch.Registers.SP])
		return s
	}
	if i.Running {
		i.note("stack pointer", errors.New("the task is running on another CPU, which has its registers"))
		return s
	}
	s.Switch, err = v.saved(ctx, task)
	i.note("switch frame", err)
	for _, slot := range s.Switch {
		if slot.Name == v.arch.Switch.SP {
			s.SP = slot.Value
		}
	}
	return s
}

// Image reads a task's kernel stack. regs are the registers of the stopped CPU if the
// task runs on it, and nil otherwise.
func (v *View) Image(ctx context.Context, addr uint64, regs map[string]uint64) trace.StackImage {
	i, err := v.Brief(ctx, addr)
	if err != nil {
		return trace.StackImage{Task: trace.Task{Address: trace.Word(addr)}, Unread: map[string]string{"task": err.Error()}}
	}
	i.Unread = nil // the other parts do not matter here
	task := v.object("task_struct", addr)
	s := v.stack(ctx, i, task, regs)
	out := trace.StackImage{
		Task: i.Task, Bottom: s.Bottom, Top: s.Top, SP: s.SP, Magic: s.Magic, User: s.User, Switch: s.Switch,
	}
	if regs != nil {
		out.Switch, err = v.saved(ctx, task)
		i.note("switch frame", err)
	}
	for _, slot := range out.Switch {
		if slot.Name == v.arch.Switch.SP {
			out.ThreadSP = slot.Value
		}
	}
	if regs == nil && !i.Running {
		out.SP = out.ThreadSP
	}
	out.Unread = i.Unread
	return out
}

// slots reads the members of a structure that have 8 bytes.
func (v *View) slots(ctx context.Context, typ string, addr uint64) ([]trace.Slot, error) {
	members, err := v.im.Members(typ)
	if err != nil {
		return nil, err
	}
	var out []trace.Slot
	for _, m := range members {
		if m.Size != 8 {
			continue
		}
		w, err := v.word(ctx, addr+uint64(m.Offset))
		if err != nil {
			return out, err
		}
		out = append(out, trace.Slot{Name: m.Name, Address: trace.Word(addr + uint64(m.Offset)), Value: trace.Word(w)})
	}
	return out, nil
}

// saved reads the registers that __switch_to saved, the stack pointer first.
func (v *View) saved(ctx context.Context, task object) ([]trace.Slot, error) {
	sw := v.arch.Switch
	f, err := v.field("task_struct", sw.SP)
	if err != nil {
		return nil, err
	}
	sp, err := task.number(ctx, sw.SP)
	if err != nil {
		return nil, err
	}
	out := []trace.Slot{{Name: sw.SP, Address: trace.Word(task.addr + uint64(f.Offset)), Value: trace.Word(sp)}}
	if sw.Frame != "" {
		frame, err := v.slots(ctx, sw.Frame, sp)
		return append(out, frame...), err
	}
	names := []string{sw.PC}
	for _, s := range sw.Saved {
		names = append(names, s.Member)
	}
	for _, name := range names {
		f, err := v.field("task_struct", name)
		if err != nil {
			return out, err
		}
		w, err := task.number(ctx, name)
		if err != nil {
			return out, err
		}
		out = append(out, trace.Slot{Name: name, Address: trace.Word(task.addr + uint64(f.Offset)), Value: trace.Word(w)})
	}
	return out, nil
}

// asleep returns the innermost frame of a task that is not running, as
// __switch_to will restore it.
func (v *View) asleep(ctx context.Context, task object) (pc uint64, regs map[string]uint64, err error) {
	slots, err := v.saved(ctx, task)
	if err != nil {
		return 0, nil, err
	}
	sw := v.arch.Switch
	by := map[string]uint64{}
	for _, s := range slots {
		by[s.Name] = uint64(s.Value)
	}
	regs = map[string]uint64{v.arch.Registers.SP: by[sw.SP] + uint64(v.arch.Stack.SwitchFrame)}
	for _, s := range sw.Saved {
		if w, ok := by[s.Member]; ok {
			regs[s.Register] = w
		}
	}
	return by[sw.PC], regs, nil
}

// Backtrace unwinds the kernel stack of the task at addr, innermost frame
// first. regs are the registers of the stopped CPU if the task runs on it, and
// nil otherwise. If unwinding fails, the last frame has the reason.
//
// With a vmlinux, inlined functions have frames too.
func (v *View) Backtrace(ctx context.Context, addr uint64, regs map[string]uint64) []trace.Frame {
	return v.backtrace(ctx, addr, regs, false)
}

// BacktraceVariables is Backtrace, with the arguments and locals of each frame if
// there is a vmlinux.
func (v *View) BacktraceVariables(ctx context.Context, addr uint64, regs map[string]uint64) []trace.Frame {
	return v.backtrace(ctx, addr, regs, true)
}

func (v *View) backtrace(ctx context.Context, addr uint64, regs map[string]uint64, variables bool) []trace.Frame {
	task := v.object("task_struct", addr)
	bottom, top, err := v.bounds(ctx, task)
	if err != nil {
		return []trace.Frame{{Doubt: "the stack: " + err.Error()}}
	}
	u := unwinder{v: v, bottom: bottom, top: top, variables: variables}
	if regs != nil {
		return u.run(ctx, kernel.Frame{PC: regs[v.arch.Registers.PC], Regs: regs, Interrupted: true})
	}
	pc, regs, err := v.asleep(ctx, task)
	if err != nil {
		return []trace.Frame{{Doubt: "the saved registers: " + err.Error()}}
	}
	sym, off, ok := v.im.Symbols.At(pc)
	// A task that never ran starts at a function's first instruction.
	first := ok && off == 0 && sym.IsText()
	return u.run(ctx, kernel.Frame{PC: pc, Regs: regs, Interrupted: first})
}
