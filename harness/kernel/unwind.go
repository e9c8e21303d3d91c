package kernel

import (
	"fmt"
	"maps"
	"strings"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/op"
	"github.com/go-delve/delve/pkg/dwarf/regnum"
)

// Frame is a stack frame.
type Frame struct {
	PC uint64
	// Regs are the known registers, except for the PC, by the names in gdb and QEMU's
	// target description. They include the stack pointer ("rsp", "sp") and the frame
	// pointer ("rbp", "fp").
	Regs map[string]uint64
	// Interrupted means that PC is the next instruction, as in the innermost frame
	// and in a frame that a trap or interrupt interrupted. In other frames PC is the
	// return address of a call.
	Interrupted bool

	CFA uint64 // the caller's stack pointer, 0 if unknown

	Symbol string // function that contains PC; empty outside the kernel
	Offset uint64 // of PC in it
}

// ReadWord reads eight bytes of the guest's memory.
type ReadWord func(addr uint64) (uint64, error)

// maxFrames limits the frames of a stack, which may loop.
const maxFrames = 128

// Backtrace unwinds a kernel stack, innermost frame first. regs are the registers of
// the stopped CPU by gdb's names ("rsp", "rbp", "sp", "fp"). It ends at the
// outermost frame or at a user mode address. With an error it also returns the frames
// found until then.
func (im *Image) Backtrace(pc uint64, regs map[string]uint64, read ReadWord) ([]Frame, error) {
	f := Frame{PC: pc, Regs: regs, Interrupted: true}
	var stack []Frame
	for range maxFrames {
		if sym, off, ok := im.Symbols.At(lookupPC(f)); ok {
			f.Symbol, f.Offset = sym.Name, off+f.PC-lookupPC(f)
		}
		stack = append(stack, f)
		next, ok, err := im.Caller(f, read)
		if err != nil {
			return stack, fmt.Errorf("unwind frame %d: %w", len(stack)-1, err)
		}
		if !ok || next.PC < kernelHalf {
			return stack, nil
		}
		f = next
	}
	return stack, fmt.Errorf("unwind: more than %d frames; the stack loops", maxFrames)
}

// lookupPC returns an address within the frame's function. A return address may be
// the first byte of the next function.
func lookupPC(f Frame) uint64 {
	if f.Interrupted {
		return f.PC
	}
	return f.PC - 1
}

// Caller returns the frame that called f. It reports false at the outermost
// frame.
func (im *Image) Caller(f Frame, read ReadWord) (Frame, bool, error) {
	fde, err := im.frameAt(lookupPC(f))
	if err != nil {
		return Frame{}, false, fmt.Errorf("no unwinding information for the frame at %#x: %w", f.PC, err)
	}
	ctx, err := fde.EstablishFrame(lookupPC(f))
	if err != nil {
		return Frame{}, false, fmt.Errorf("frame at %#x: %w", f.PC, err)
	}
	u := unwinder{im: im, regs: im.dwarfRegs(f), read: read}
	cfa, err := u.cfa(ctx.CFA)
	if err != nil {
		return Frame{}, false, fmt.Errorf("frame at %#x: %w", f.PC, err)
	}
	next := Frame{Regs: maps.Clone(f.Regs), Interrupted: strings.Contains(fde.CIE.Augmentation, "S")}
	next.Regs[im.registerName(im.machine.sp)] = cfa
	ruled := map[uint64]bool{im.machine.sp: true, im.machine.fp: true}
	for reg, rule := range ctx.Regs {
		ruled[reg] = true
		v, known, err := u.value(reg, rule, cfa)
		if err != nil {
			return Frame{}, false, fmt.Errorf("frame at %#x: %s: %w", f.PC, im.registerName(reg), err)
		}
		switch {
		case reg == ctx.RetAddrReg && !known:
			return Frame{}, false, nil
		case !known:
			delete(next.Regs, im.registerName(reg))
		default:
			next.Regs[im.registerName(reg)] = v
		}
	}
	ra := im.registerName(ctx.RetAddrReg)
	pc, ok := next.Regs[ra]
	if rule, given := ctx.Regs[ctx.RetAddrReg]; !f.Interrupted && (!given || rule.Rule == frame.RuleSameVal) {
		ok = false // the call has overwritten this register
	}
	if !ok {
		return Frame{}, false, fmt.Errorf("frame at %#x: its return address is in %s, which is unknown", f.PC, ra)
	}
	next.PC = pc
	delete(next.Regs, im.registerName(regnum.RISCV64_PC))
	im.refine(f, &next, ruled, read)
	return next, true, nil
}

func (im *Image) registerName(n uint64) string {
	if im.machine.regName == nil {
		return ""
	}
	return im.machine.regName(n)
}

func (im *Image) dwarfRegs(f Frame) *op.DwarfRegisters {
	regs := op.NewDwarfRegisters(0, nil, le, 0, 0, 0, 0)
	for n := uint64(0); n <= regnum.RISCV64_X31; n++ {
		if v, ok := f.Regs[im.registerName(n)]; ok {
			regs.AddReg(n, op.DwarfRegisterFromUint64(v))
		}
	}
	return regs
}

// unwinder evaluates one frame's rules.
type unwinder struct {
	im   *Image
	regs *op.DwarfRegisters
	read ReadWord
}

func (u *unwinder) reg(n uint64) (uint64, error) {
	r := u.regs.Reg(n)
	if r == nil {
		return 0, fmt.Errorf("register %s is unknown", u.im.registerName(n))
	}
	return r.Uint64Val, nil
}

func (u *unwinder) cfa(rule frame.DWRule) (uint64, error) {
	if rule.Rule == frame.RuleExpression {
		return u.eval(rule.Expression)
	}
	v, err := u.reg(rule.Reg)
	return v + uint64(rule.Offset), err
}

// value computes a register of the caller. It reports false if the value is lost.
func (u *unwinder) value(reg uint64, rule frame.DWRule, cfa uint64) (uint64, bool, error) {
	var v uint64
	var err error
	switch rule.Rule {
	case frame.RuleUndefined:
		return 0, false, nil
	case frame.RuleSameVal:
		if v, err = u.reg(reg); err != nil {
			return 0, false, nil
		}
	case frame.RuleRegister:
		if v, err = u.reg(rule.Reg); err != nil {
			return 0, false, err
		}
	case frame.RuleOffset:
		v, err = u.read(cfa + uint64(rule.Offset))
	case frame.RuleValOffset:
		v = cfa + uint64(rule.Offset)
	case frame.RuleExpression:
		var addr uint64
		if addr, err = u.eval(rule.Expression); err == nil {
			v, err = u.read(addr)
		}
	default:
		err = fmt.Errorf("unknown unwinding rule %d", rule.Rule)
	}
	return v, err == nil, err
}

func (u *unwinder) eval(expr []byte) (uint64, error) {
	v, _, err := op.ExecuteStackProgram(*u.regs, expr, 8, func(buf []byte, addr uint64) (int, error) {
		w, err := u.read(addr)
		if err != nil {
			return 0, err
		}
		return copy(buf, le.AppendUint64(nil, w)), nil
	})
	return uint64(v), err
}
