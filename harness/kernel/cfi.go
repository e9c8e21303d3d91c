package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/leb128"
	"github.com/go-delve/delve/pkg/dwarf/op"
)

// frameRow says how to find the caller at the addresses from pc to the next row.
type frameRow struct {
	pc      uint64
	unknown bool // there is no information about these addresses
	signal  bool // an interrupted frame: its caller's address is exact
	cfa     cfaRule
	regs    []regRule
}

// cfaRule computes the canonical frame address, the caller's stack pointer
// unless a rule says otherwise.
type cfaRule struct {
	reg   uint64
	off   int64
	deref deref
}

type deref byte

const (
	derefNone    deref = iota // reg + off
	derefSum                  // *(reg + off)
	derefThenAdd              // *reg + off
)

// regRule says where the caller's register is.
type regRule struct {
	reg  uint64
	how  ruleKind
	base uint64 // for ruleDeref; for ruleRegister the register
	off  int64
}

type ruleKind byte

const (
	ruleSame      ruleKind = iota // unchanged
	ruleUndefined                 // lost; for the return address: no caller
	ruleOffset                    // in memory at CFA + off
	ruleValue                     // CFA + off itself
	ruleDeref                     // in memory at base + off
	ruleRegister                  // in another register
)

// frameRange is a run of rows that share a frame description entry of DWARF.
type frameRange struct {
	start, end uint64
	signal     bool
	// raColumn is the return address column, 0 for the machine's usual one.
	raColumn uint64
	rows     []frameRow
}

// savedReg is a member of struct pt_regs and the DWARF register it holds.
type savedReg struct {
	member string
	reg    uint64
}

// ptRegs returns the rules for a frame whose CFA is the address of a struct pt_regs.
func (im *Image) ptRegs(saved []savedReg) ([]regRule, error) {
	rules := make([]regRule, len(saved))
	for i, s := range saved {
		f, err := im.Field("pt_regs", s.member)
		if err != nil {
			return nil, err
		}
		rules[i] = regRule{reg: s.reg, how: ruleOffset, off: int64(f.Offset)}
	}
	return rules, nil
}

// splitRows splits rows, sorted by address, into ranges. A range begins at the start
// of a function, after unknown rows, and where signal changes.
func splitRows(rows []frameRow, starts []uint64) []frameRange {
	var ranges []frameRange
	for i, row := range rows {
		if row.unknown || i+1 == len(rows) {
			continue
		}
		for end := rows[i+1].pc; row.pc < end; {
			for len(starts) > 0 && starts[0] < row.pc {
				starts = starts[1:]
			}
			fresh, stop := false, end
			if len(starts) > 0 && starts[0] == row.pc {
				fresh = true
				starts = starts[1:]
			}
			if len(starts) > 0 {
				stop = min(stop, starts[0])
			}
			if last := len(ranges) - 1; !fresh && last >= 0 && ranges[last].end == row.pc && ranges[last].signal == row.signal {
				ranges[last].rows = append(ranges[last].rows, row)
				ranges[last].end = stop
			} else {
				ranges = append(ranges, frameRange{start: row.pc, end: stop, signal: row.signal, rows: []frameRow{row}})
			}
			row.pc = stop
		}
	}
	return ranges
}

// functionStarts returns the distinct addresses of functions, ascending. They
// must not be modified.
func (s *Symbols) functionStarts() []uint64 {
	s.startOnce.Do(func() { s.starts = s.findStarts() })
	return s.starts
}

func (s *Symbols) findStarts() []uint64 {
	var starts []uint64
	for i := range s.Len() {
		if isText(s.types[i]) && !isPadding(s.name(i)) {
			starts = append(starts, s.addrs[i])
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}

// isPadding reports whether name is the symbol of padding before a function.
func isPadding(name string) bool {
	return strings.HasPrefix(name, "__pfx_") || strings.HasPrefix(name, "__cfi_")
}

// span is the range of addresses from start up to, but not including, end.
type span struct{ start, end uint64 }

// everything returns the span of all addresses.
func everything() span { return span{0, ^uint64(0)} }

// debugFrame returns the contents of a .debug_frame section that describes
// the functions in a span.
func (im *Image) debugFrame(of span) ([]byte, error) {
	ranges, err := im.machine.frames(im, of)
	if err != nil {
		return nil, fmt.Errorf("read unwinding information of %s: %w", im, err)
	}
	w := cfiWriter{m: im.machine, cies: make(map[cieKey]uint32)}
	for _, r := range ranges {
		w.fde(r)
	}
	return w.buf.Bytes(), nil
}

// frameInfo is the unwinding information of one function.
type frameInfo struct {
	fdes frame.FrameDescriptionEntries
	err  error
}

// frameAt returns the entry for an address. It computes entries for one function at a
// time: a whole kernel takes a tenth of a second, and a trace needs a few dozen
// functions.
func (im *Image) frameAt(pc uint64) (*frame.FrameDescriptionEntry, error) {
	of := im.functionAround(pc)
	im.frameLock.Lock()
	info, known := im.frameInfo[of.start]
	im.frameLock.Unlock()
	if !known {
		raw, err := im.debugFrame(of)
		if err == nil {
			info.fdes, err = frame.Parse(raw, binary.LittleEndian, 0, 8, 0)
		}
		info.err = err
		im.frameLock.Lock()
		if im.frameInfo == nil {
			im.frameInfo = map[uint64]frameInfo{}
		}
		im.frameInfo[of.start] = info
		im.frameLock.Unlock()
	}
	if info.err != nil {
		return nil, info.err
	}
	return info.fdes.FDEForPC(pc)
}

// functionAround returns the span from the last start of a function at or below
// an address to the next one above it.
func (im *Image) functionAround(pc uint64) span {
	starts := im.Symbols.functionStarts()
	i, exact := slices.BinarySearch(starts, pc)
	if exact {
		i++
	}
	of := everything()
	if i > 0 {
		of.start = starts[i-1]
	}
	if i < len(starts) {
		of.end = starts[i]
	}
	return of
}

// cfiWriter encodes .debug_frame: DWARF version 4, section 6.4.
type cfiWriter struct {
	m    machine
	buf  bytes.Buffer
	cies map[cieKey]uint32 // offsets
}

type cieKey struct {
	signal   bool
	raColumn uint64
}

// cieVersion is that of DWARF 3. A flat 64-bit address space needs nothing that
// version 4 adds.
const cieVersion = 3

func (w *cfiWriter) uleb(v uint64) { leb128.EncodeUnsigned(&w.buf, v) }
func (w *cfiWriter) sleb(v int64)  { leb128.EncodeSigned(&w.buf, v) }
func (w *cfiWriter) u64(v uint64)  { w.buf.Write(le.AppendUint64(nil, v)) }
func (w *cfiWriter) u32(v uint32)  { w.buf.Write(le.AppendUint32(nil, v)) }

// entry writes one length-prefixed entry, padded to 8 bytes with nops.
func (w *cfiWriter) entry(body func()) uint32 {
	start := w.buf.Len()
	w.u32(0)
	body()
	for w.buf.Len()%8 != 0 {
		w.buf.WriteByte(frame.DW_CFA_nop)
	}
	le.PutUint32(w.buf.Bytes()[start:], uint32(w.buf.Len()-start-4))
	return uint32(start)
}

func (w *cfiWriter) cie(k cieKey) uint32 {
	if off, ok := w.cies[k]; ok {
		return off
	}
	off := w.entry(func() {
		w.u32(0xffffffff)
		w.buf.WriteByte(cieVersion)
		if k.signal {
			w.buf.WriteString("zS")
		}
		w.buf.WriteByte(0)
		w.uleb(w.m.codeAlign)
		w.sleb(1) // no factor: ORC's offsets need not be multiples of one
		w.uleb(k.raColumn)
		if k.signal {
			w.uleb(0) // no augmentation data
		}
	})
	w.cies[k] = off
	return off
}

func (w *cfiWriter) fde(r frameRange) {
	k := cieKey{r.signal, r.raColumn}
	if k.raColumn == 0 {
		k.raColumn = w.m.ra
	}
	cie := w.cie(k)
	w.entry(func() {
		w.u32(cie)
		w.u64(r.start)
		w.u64(r.end - r.start)
		if r.signal {
			w.uleb(0)
		}
		at := r.start
		var prev frameRow
		for i, row := range r.rows {
			if r.signal {
				row.regs = w.explicitSP(row.regs)
			}
			if i > 0 && row.cfa == prev.cfa && slices.Equal(row.regs, prev.regs) {
				continue
			}
			w.advance((row.pc - at) / w.m.codeAlign)
			at = row.pc
			if i == 0 || row.cfa != prev.cfa {
				w.defCFA(row.cfa)
			}
			w.changes(prev.regs, row.regs)
			prev = row
		}
	})
}

// explicitSP adds the stack pointer's default rule, so that a row can override a
// previous one that restores the stack pointer from memory.
func (w *cfiWriter) explicitSP(regs []regRule) []regRule {
	if slices.ContainsFunc(regs, func(r regRule) bool { return r.reg == w.m.sp }) {
		return regs
	}
	return append(slices.Clone(regs), regRule{reg: w.m.sp, how: ruleValue})
}

func (w *cfiWriter) advance(n uint64) {
	switch {
	case n == 0:
	case n < 0x40:
		w.buf.WriteByte(frame.DW_CFA_advance_loc | byte(n))
	case n < 1<<8:
		w.buf.Write([]byte{frame.DW_CFA_advance_loc1, byte(n)})
	case n < 1<<16:
		w.buf.WriteByte(frame.DW_CFA_advance_loc2)
		w.buf.Write(le.AppendUint16(nil, uint16(n)))
	default:
		w.buf.WriteByte(frame.DW_CFA_advance_loc4)
		w.u32(uint32(n))
	}
}

func (w *cfiWriter) defCFA(c cfaRule) {
	switch {
	case c.deref != derefNone:
		w.buf.WriteByte(frame.DW_CFA_def_cfa_expression)
		w.block(c.expression())
	case c.off >= 0:
		w.buf.WriteByte(frame.DW_CFA_def_cfa)
		w.uleb(c.reg)
		w.uleb(uint64(c.off))
	default:
		w.buf.WriteByte(frame.DW_CFA_def_cfa_sf)
		w.uleb(c.reg)
		w.sleb(c.off)
	}
}

func (w *cfiWriter) block(b []byte) {
	w.uleb(uint64(len(b)))
	w.buf.Write(b)
}

func (c cfaRule) expression() []byte {
	if c.deref == derefSum {
		return derefExpression(c.reg, c.off)
	}
	var b bytes.Buffer
	b.Write(derefExpression(c.reg, 0))
	b.WriteByte(byte(op.DW_OP_consts))
	leb128.EncodeSigned(&b, c.off)
	b.WriteByte(byte(op.DW_OP_plus))
	return b.Bytes()
}

// derefExpression returns the DWARF expression *(reg + off).
func derefExpression(reg uint64, off int64) []byte {
	var b bytes.Buffer
	b.WriteByte(byte(op.DW_OP_breg0) + byte(reg))
	leb128.EncodeSigned(&b, off)
	b.WriteByte(byte(op.DW_OP_deref))
	return b.Bytes()
}

// changes writes the rules that differ between two rows. A register without a rule
// keeps its value.
func (w *cfiWriter) changes(old, now []regRule) {
	for _, r := range old {
		if !slices.ContainsFunc(now, func(n regRule) bool { return n.reg == r.reg }) {
			w.rule(regRule{reg: r.reg, how: ruleSame})
		}
	}
	for _, r := range now {
		if !slices.Contains(old, r) {
			w.rule(r)
		}
	}
}

func (w *cfiWriter) rule(r regRule) {
	switch r.how {
	case ruleSame:
		w.buf.WriteByte(frame.DW_CFA_same_value)
		w.uleb(r.reg)
	case ruleUndefined:
		w.buf.WriteByte(frame.DW_CFA_undefined)
		w.uleb(r.reg)
	case ruleOffset:
		w.buf.WriteByte(frame.DW_CFA_offset_extended_sf)
		w.uleb(r.reg)
		w.sleb(r.off)
	case ruleValue:
		w.buf.WriteByte(frame.DW_CFA_val_offset_sf)
		w.uleb(r.reg)
		w.sleb(r.off)
	case ruleRegister:
		w.buf.WriteByte(frame.DW_CFA_register)
		w.uleb(r.reg)
		w.uleb(r.base)
	case ruleDeref:
		// DW_CFA_expression: the expression is the register's address.
		e := derefExpression(r.base, r.off)
		w.buf.WriteByte(frame.DW_CFA_expression)
		w.uleb(r.reg)
		w.block(e[:len(e)-1])
	}
}
