package debuginfo

import (
	"maps"
	"runtime/debug"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/op"
)

// Caller returns the registers of a frame's caller that can be told, and the
// frame's CFA, by .debug_frame. Registers without a rule are taken to be as they
// were: a location list leaves out those that a call may change, and keeps those
// that the compiler knows the function to leave alone. It reports false where
// nothing is known: in assembly, or when a register that it takes is not known.
func (f *File) Caller(fr Frame, mem Memory) (_ map[uint64]uint64, cfa uint64, ok bool) {
	var err error
	defer func() { ok = ok && err == nil }()
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f.frameOnce.Do(func() {
		defer guard(f.Path, &f.frameErr)
		var all frame.FrameDescriptionEntries
		if all, f.frameErr = frame.Parse(f.sections.by[".debug_frame"], le, 0, 8, 0); f.frameErr == nil {
			f.frames = frame.FrameDescriptionEntries{}.Append(all)
		}
	})
	if f.frameErr != nil {
		return nil, 0, false
	}
	fde, err := f.frames.FDEForPC(fr.lookup())
	if err != nil {
		return nil, 0, false
	}
	ctx, err := fde.EstablishFrame(fr.lookup())
	if err != nil {
		return nil, 0, false
	}
	u := unwound{regs: fr.Regs, mem: mem}
	if cfa, ok = u.cfa(ctx.CFA); !ok {
		return nil, 0, false
	}
	out := maps.Clone(fr.Regs)
	for n, rule := range ctx.Regs {
		delete(out, n)
		if v, known := u.value(n, rule, cfa); known {
			out[n] = v
		}
	}
	return out, cfa, true
}

// unwound evaluates the rules of one frame.
type unwound struct {
	regs map[uint64]uint64
	mem  Memory
}

func (u unwound) eval(expr []byte, cfa uint64, push bool) (uint64, bool) {
	regs := op.NewDwarfRegisters(0, nil, le, 0, 0, 0, 0)
	for n, v := range u.regs {
		regs.AddReg(n, op.DwarfRegisterFromUint64(v))
	}
	if push {
		expr = append(constant(cfa), expr...)
	}
	v, _, err := op.ExecuteStackProgram(*regs, expr, 8, func(buf []byte, addr uint64) (int, error) { return len(buf), u.mem(addr, buf) })
	return uint64(v), err == nil
}

func (u unwound) cfa(rule frame.DWRule) (uint64, bool) {
	if rule.Rule == frame.RuleExpression {
		return u.eval(rule.Expression, 0, false)
	}
	v, ok := u.regs[rule.Reg]
	return v + uint64(rule.Offset), ok
}

func (u unwound) value(n uint64, rule frame.DWRule, cfa uint64) (uint64, bool) {
	word := func(addr uint64) (uint64, bool) {
		var buf [8]byte
		if err := u.mem(addr, buf[:]); err != nil {
			return 0, false
		}
		return le.Uint64(buf[:]), true
	}
	switch rule.Rule {
	case frame.RuleSameVal:
		v, ok := u.regs[n]
		return v, ok
	case frame.RuleOffset:
		return word(cfa + uint64(rule.Offset))
	case frame.RuleValOffset:
		return cfa + uint64(rule.Offset), true
	case frame.RuleRegister:
		v, ok := u.regs[rule.Reg]
		return v, ok
	case frame.RuleExpression:
		if addr, ok := u.eval(rule.Expression, cfa, true); ok {
			return word(addr)
		}
	case frame.RuleValExpression:
		return u.eval(rule.Expression, cfa, true)
	}
	return 0, false
}
