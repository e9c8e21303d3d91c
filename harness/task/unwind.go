package task

import (
	"context"
	"encoding/binary"
	"fmt"

	"kernellab/harness/kernel"
	"kernellab/harness/kernel/debuginfo"
	"kernellab/harness/trace"
)

// maxFrames limits the frames of a stack, which may loop.
const maxFrames = 128

// unwinder unwinds one stack. It checks each frame, because an unwinding table that
// does not fit the stack may give a plausible address and no error.
type unwinder struct {
	v           *View
	bottom, top uint64 // of the task's stack
	variables   bool   // read the variables of each frame
}

// run unwinds from f. It stops at a frame that fails a check, and records why.
func (u unwinder) run(ctx context.Context, f kernel.Frame) []trace.Frame {
	read := func(addr uint64) (uint64, error) { return u.v.word(ctx, addr) }
	out, stack := u.frames(ctx, f, read)
	return u.expand(out, stack, read)
}

// frames finds the frames on the stack. stack has the unwinder's own frames.
func (u unwinder) frames(ctx context.Context, f kernel.Frame, read kernel.ReadWord) (out []trace.Frame, stack []kernel.Frame) {
	spName := u.v.arch.Registers.SP
	for {
		t := u.describe(f)
		if t.Doubt == "" && !t.User && len(out) > 0 {
			t.Doubt = u.check(ctx, f, out[len(out)-1])
		}
		t.Trusted = t.Doubt == ""
		out, stack = append(out, t), append(stack, f)
		if t.User || !t.Trusted {
			return out, stack
		}
		if len(out) == maxFrames {
			return append(out, trace.Frame{Doubt: fmt.Sprintf("more than %d frames: the stack loops", maxFrames)}), stack
		}
		next, more, err := u.v.im.Caller(f, read)
		if err != nil {
			return append(out, trace.Frame{Doubt: err.Error()}), stack
		}
		if !more {
			return out, stack
		}
		if next.PC == 0 {
			return append(out, trace.Frame{SP: trace.Word(next.Regs[spName]), Doubt: "the return address is 0"}), stack
		}
		f = next
	}
}

// expand inserts the functions that are inlined at a frame before it, and sets the
// source position of each, if there is a vmlinux.
func (u unwinder) expand(frames []trace.Frame, stack []kernel.Frame, read kernel.ReadWord) []trace.Frame {
	if u.v.im.DebugFile() == "" {
		return frames
	}
	var out []trace.Frame
	for n, f := range frames {
		if n >= len(stack) || f.User || f.Symbol == "" {
			out = append(out, f)
			continue
		}
		at := stack[n].PC
		if !stack[n].Interrupted {
			at--
		}
		found := u.v.im.Source(at)
		var vars [][]debuginfo.Variable
		if u.variables && f.Trusted {
			vars, _ = u.v.im.Variables(stack, n, read) // leave out damaged ones
		}
		for i, l := range found {
			part := f
			part.File, part.Line, part.Inlined = l.File, l.Line, l.Inlined
			part.Interrupted = f.Interrupted && i == 0
			if l.Inlined {
				part.Symbol = l.Function
			}
			if i < len(vars) {
				part.Variables = variables(vars[i])
			}
			out = append(out, part)
		}
		if len(found) == 0 {
			out = append(out, f)
		}
	}
	return out
}

func variables(all []debuginfo.Variable) []trace.Variable {
	var out []trace.Variable
	for _, v := range all {
		out = append(out, trace.Variable{Name: v.Name, Type: v.Type, Arg: v.Arg, Text: v.Text, Unread: v.Missing})
	}
	return out
}

// describe returns a frame with the name of its function.
func (u unwinder) describe(f kernel.Frame) trace.Frame {
	t := trace.Frame{PC: trace.Word(f.PC), SP: trace.Word(f.Regs[u.v.arch.Registers.SP]), Interrupted: f.Interrupted}
	if int64(f.PC) >= 0 {
		t.User = true
		return t
	}
	at := f.PC
	if !f.Interrupted {
		at-- // a return address may be the first byte of the next function
	}
	sym, off, ok := u.v.im.Symbols.At(at)
	if !ok || !sym.IsText() {
		t.Doubt = "no function of the kernel image; a module or generated code"
		return t
	}
	t.Symbol, t.Offset, t.Size = sym.Name, trace.Word(off+f.PC-at), trace.Word(u.v.im.Symbols.Extent(sym.Addr))
	return t
}

// outermost reports whether f has no caller.
func (u unwinder) outermost(ctx context.Context, f kernel.Frame) (bool, error) {
	_, more, err := u.v.im.Caller(f, func(addr uint64) (uint64, error) { return u.v.word(ctx, addr) })
	return !more, err
}

// check returns a reason to doubt that f is the caller of inner, or "".
func (u unwinder) check(ctx context.Context, f kernel.Frame, inner trace.Frame) string {
	sp, below := f.Regs[u.v.arch.Registers.SP], uint64(inner.SP)
	on := func(a uint64) bool { return a > u.bottom && a <= u.top }
	switch {
	case sp%8 != 0:
		return fmt.Sprintf("its stack pointer %#x is not aligned", sp)
	case on(below) && !on(sp):
		return fmt.Sprintf("its stack pointer %#x is not on the task's stack", sp)
	case on(below) == on(sp) && sp < below:
		return fmt.Sprintf("its stack pointer %#x is below its callee's", sp)
	case f.Interrupted:
		return "" // any instruction can be interrupted
	}
	const longest = 8
	code, err := u.v.im.Text(f.PC-longest, longest)
	if err == nil && u.v.im.EndsInCall(code) {
		return ""
	}
	// The kernel patches calls at boot.
	live := make([]byte, longest)
	if err := u.v.Read(ctx, f.PC-longest, live); err != nil {
		return "the code before its return address can not be read: " + err.Error()
	}
	if outermost, err := u.outermost(ctx, f); err == nil && outermost {
		return "" // startup code pushes its own next address
	}
	if !u.v.im.EndsInCall(live) {
		return fmt.Sprintf("no call comes before its return address: % x", binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(live)))
	}
	return ""
}
