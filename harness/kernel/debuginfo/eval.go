package debuginfo

import (
	"bytes"
	"debug/dwarf"
	"errors"
	"fmt"

	"github.com/go-delve/delve/pkg/dwarf/godwarf"
	"github.com/go-delve/delve/pkg/dwarf/loclist"
	"github.com/go-delve/delve/pkg/dwarf/op"
)

// evaluator finds the places of variables in a frame.
type evaluator struct {
	file     *File
	unit     *unit
	function *godwarf.Tree // of the frame, not one inlined into it
	stack    []Frame       // the frame and its callers
	mem      Memory
	depth    int // of entry values that depend on entry values
}

// Attributes and tags of call sites: those of GCC before DWARF version 5, and one of
// version 5.
const (
	attrGNUCallSiteValue = dwarf.Attr(0x2111)
	tagGNUCallSite       = dwarf.Tag(0x4109)
	tagGNUCallSiteParam  = dwarf.Tag(0x410a)
	attrCallOrigin       = dwarf.Attr(0x7f)
)

func (ev evaluator) pc() uint64 { return ev.stack[0].lookup() }

// place evaluates a variable's location.
func (ev evaluator) place(t *godwarf.Tree) (place, error) {
	switch c := t.Val(dwarf.AttrConstValue).(type) {
	case int64:
		return place{bytes: le.AppendUint64(nil, uint64(c))}, nil
	case []byte:
		return place{bytes: c}, nil
	case string:
		return place{bytes: []byte(c)}, nil
	}
	expr, err := ev.expression(t.AttrField(dwarf.AttrLocation))
	if err != nil {
		return place{}, err
	}
	if len(expr) == 0 {
		return place{}, errOptimizedOut
	}
	return ev.run(expr)
}

// expression returns the expression of a location at the frame's address, nil if
// there is none.
func (ev evaluator) expression(f *dwarf.Field) ([]byte, error) {
	if f == nil {
		return nil, nil
	}
	switch v := f.Val.(type) {
	case []byte:
		return v, nil
	case int64:
		return ev.listed(f.Class, uint64(v))
	}
	return nil, fmt.Errorf("its location has the unknown class %v", f.Class)
}

// listed finds the expression in a location list.
func (ev evaluator) listed(class dwarf.Class, off uint64) ([]byte, error) {
	u, by := ev.unit, ev.file.sections.by
	var rd loclist.Reader
	var size int
	if u.v5 {
		data := by[".debug_loclists"]
		if class == dwarf.ClassLocList { // an index: section 7.29
			at := u.listBase + 4*off
			if off > uint64(len(data)) || at+4 > uint64(len(data)) {
				return nil, damaged("location list %d is after the section's end", off)
			}
			off = u.listBase + uint64(le.Uint32(data[at:]))
		}
		rd, size = loclist.NewDwarf5Reader(data), len(data)
	} else {
		data := by[".debug_loc"]
		rd, size = loclist.NewDwarf2Reader(data, 8), len(data)
	}
	if off >= uint64(size) {
		return nil, damaged("a location list is at %#x, but the section has %d bytes", off, size)
	}
	var addrs *godwarf.DebugAddr
	if data := by[".debug_addr"]; len(data) > 0 {
		addrs = godwarf.ParseAddr(data).GetSubsection(u.addrBase)
	}
	e, err := rd.Find(int(off), 0, u.low, ev.pc(), addrs)
	if err != nil || e == nil {
		return nil, err
	}
	return e.Instr, nil
}

// registers returns the frame's registers, for expressions.
func (ev evaluator) registers() (op.DwarfRegisters, error) {
	regs := op.NewDwarfRegisters(0, nil, le, 0, 0, 0, 0)
	for n, v := range ev.stack[0].Regs {
		regs.AddReg(n, op.DwarfRegisterFromUint64(v))
	}
	regs.CFA = int64(ev.stack[0].CFA)
	base, err := ev.expression(ev.function.AttrField(dwarf.AttrFrameBase))
	if err != nil || len(base) == 0 {
		return *regs, err
	}
	if base[0] == byte(op.DW_OP_call_frame_cfa) && len(base) == 1 {
		regs.FrameBase = regs.CFA
		return *regs, nil
	}
	v, _, err := op.ExecuteStackProgram(*regs, base, 8, ev.read)
	regs.FrameBase = v
	return *regs, err
}

func (ev evaluator) read(buf []byte, addr uint64) (int, error) {
	if err := ev.mem(addr, buf); err != nil {
		return 0, err
	}
	return len(buf), nil
}

// run evaluates an expression.
func (ev evaluator) run(expr []byte) (place, error) {
	expr, usesCFA, err := ev.rewrite(expr)
	if err != nil {
		return place{}, err
	}
	if usesCFA && ev.stack[0].CFA == 0 {
		return place{}, errors.New("it is on the stack, but the frame's address is unknown")
	}
	regs, err := ev.registers()
	if err != nil {
		return place{}, fmt.Errorf("the frame's base: %w", err)
	}
	addr, pieces, err := op.ExecuteStackProgram(regs, expr, 8, ev.read)
	if err != nil {
		return place{}, err
	}
	if pieces == nil {
		return place{addr: uint64(addr), inMem: true}, nil
	}
	var p place
	for _, piece := range pieces {
		b, err := ev.piece(regs, piece)
		if err != nil {
			return place{}, err
		}
		p.bytes = append(p.bytes, b...)
	}
	return p, nil
}

// maxPiece limits the size of a piece of a value, in bytes.
const maxPiece = 1 << 12

func (ev evaluator) piece(regs op.DwarfRegisters, p op.Piece) ([]byte, error) {
	size := p.Size
	if size == 0 {
		size = 8
	}
	if size < 0 || size > maxPiece {
		return nil, damaged("a piece of a value has %d bytes", size)
	}
	word := le.AppendUint64(nil, p.Val)
	switch p.Kind {
	case op.AddrPiece:
		buf := make([]byte, size)
		return buf, ev.mem(p.Val, buf)
	case op.RegPiece:
		r := regs.Reg(p.Val)
		if r == nil {
			return nil, fmt.Errorf("it is in register %d, which is unknown in this frame", p.Val)
		}
		word = le.AppendUint64(nil, r.Uint64Val)
	default:
		if p.Bytes != nil {
			return p.Bytes, nil
		}
	}
	for len(word) < size {
		word = append(word, 0)
	}
	return word[:size], nil
}

// entryValue returns the value of a register at the entry of the frame's function. The
// call site in the caller describes it.
func (ev evaluator) entryValue(expr []byte) (uint64, error) {
	const most = 8
	if len(ev.stack) < 2 || ev.depth > most || ev.stack[1].Exact {
		return 0, errOptimizedOut
	}
	caller := ev.stack[1]
	u, scopes, err := ev.file.scopes(caller.lookup())
	if err != nil || len(scopes) == 0 {
		return 0, errOptimizedOut
	}
	up := evaluator{file: ev.file, unit: u, function: scopes[len(scopes)-1], stack: ev.stack[1:], mem: ev.mem, depth: ev.depth + 1}
	site := callSite(up.function, caller.PC)
	if site == nil || !up.calls(site, ev.function) {
		return 0, errOptimizedOut
	}
	for _, p := range site.Children {
		if p.Tag != tagCallSiteParam && p.Tag != tagGNUCallSiteParam {
			continue
		}
		where, _ := p.Val(dwarf.AttrLocation).([]byte)
		if !bytes.Equal(where, expr) {
			continue
		}
		value, _ := p.Val(attrCallValue).([]byte)
		if value == nil {
			value, _ = p.Val(attrGNUCallSiteValue).([]byte)
		}
		if len(value) == 0 {
			break
		}
		got, err := up.run(value)
		switch {
		case err != nil:
			return 0, err
		case got.inMem: // addr is the result of an expression that names no place
			return got.addr, nil
		case len(got.bytes) >= 8:
			return le.Uint64(got.bytes), nil
		}
	}
	return 0, errOptimizedOut
}

// callSite finds the call that returns to an address.
func callSite(t *godwarf.Tree, pc uint64) *godwarf.Tree {
	for _, c := range t.Children {
		if c.Tag == tagCallSite || c.Tag == tagGNUCallSite {
			at, ok := c.Val(attrCallReturnPC).(uint64)
			if !ok {
				at, _ = c.Val(dwarf.AttrLowpc).(uint64)
			}
			if at == pc {
				return c
			}
		}
		if found := callSite(c, pc); found != nil {
			return found
		}
	}
	return nil
}

// calls reports whether a call site calls function. If it calls another one, which
// ended in a tail call of function, the registers have changed.
func (ev evaluator) calls(site, function *godwarf.Tree) bool {
	off, ok := site.Val(attrCallOrigin).(dwarf.Offset)
	if !ok {
		if off, ok = site.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); !ok {
			return false
		}
	}
	rd := ev.unit.data.Reader()
	rd.Seek(off)
	e, err := rd.Next()
	if err != nil || e == nil {
		return false
	}
	full, _ := godwarf.LoadAbstractOriginAndSpecification(e, ev.unit.data.Reader())
	theirs, _ := full.Val(dwarf.AttrName).(string)
	ours, _ := function.Val(dwarf.AttrName).(string)
	return theirs != "" && theirs == ours
}
