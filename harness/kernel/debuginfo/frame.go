package debuginfo

import (
	"maps"
	"runtime/debug"
	"slices"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/op"
)

// Caller returns the known registers of a frame's caller, and the frame's CFA, by
// .debug_frame. A register without a rule keeps its value: location lists do not use
// registers that the call may have changed. Caller reports false if it has no
// information, as in assembly, or if a register that it needs is unknown.
func (f *File) Caller(fr Frame, mem Memory) (_ map[uint64]uint64, cfa uint64, ok bool) {
	var err error
	defer func() { ok = ok && err == nil }()
	defer guard(f.Path, &err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	fde, err := f.frame(fr.lookup())
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

// frameEntry is the position of an FDE in .debug_frame, and the code that it describes.
type frameEntry struct {
	begin, size   uint64 // of the code
	off, end, cie uint32 // the FDE's bytes, and the offset of its CIE
}

// frame returns the entry of .debug_frame for an address.
func (f *File) frame(pc uint64) (*frame.FrameDescriptionEntry, error) {
	f.frameLock.Lock()
	defer f.frameLock.Unlock()
	if fde, ok := f.known[pc]; ok {
		return fde, nil
	}
	section := f.sections.by[".debug_frame"]
	if f.frames == nil {
		var err error
		if f.frames, err = listFrames(section); err != nil {
			return nil, err
		}
		f.known = map[uint64]*frame.FrameDescriptionEntry{}
	}
	i := slices.IndexFunc(f.frames, func(e frameEntry) bool { return pc-e.begin < e.size })
	if i < 0 {
		return nil, &frame.ErrNoFDEForPC{PC: pc}
	}
	e := f.frames[i]
	// Parse a section with the CIE, at offset 0, and the FDE.
	pair := slices.Clone(section[e.cie : uint64(e.cie)+4+uint64(le.Uint32(section[e.cie:]))])
	pointer := len(pair) + 4
	pair = append(pair, section[e.off:e.end]...)
	le.PutUint32(pair[pointer:], 0)
	fdes, err := frame.Parse(pair, le, 0, 8, 0)
	if err != nil {
		return nil, err
	}
	fde, err := fdes.FDEForPC(pc)
	if err == nil {
		f.known[pc] = fde
	}
	return fde, err
}

// listFrames lists the FDEs without decoding them: a kernel has tens of thousands and
// a run needs a few dozen.
func listFrames(section []byte) ([]frameEntry, error) {
	const cieID = 0xffffffff // a CIE has it instead of a CIE pointer
	const typical = 56       // bytes per entry
	all := make([]frameEntry, 0, len(section)/typical)
	for off := 0; off < len(section); {
		rest := section[off:]
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(le.Uint32(rest)) {
			return nil, damaged("the section .debug_frame ends early, or is not 32-bit DWARF")
		}
		entry := rest[:4+le.Uint32(rest)]
		end := off + len(entry)
		if len(entry) >= 8 && le.Uint32(entry[4:]) != cieID {
			e := frameEntry{off: uint32(off), end: uint32(end), cie: le.Uint32(entry[4:])}
			if len(entry) < 24 || e.cie >= e.off {
				return nil, damaged("the entry of .debug_frame at %#x", off)
			}
			e.begin, e.size = le.Uint64(entry[8:]), le.Uint64(entry[16:])
			all = append(all, e)
		}
		off = end
	}
	return all, nil
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
