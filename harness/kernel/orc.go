package kernel

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/go-delve/delve/pkg/dwarf/regnum"
)

// orcEntrySize is the size of struct orc_entry in every version.
const orcEntrySize = 6

// orcLayout is the layout of struct orc_entry, read from the kernel's BTF. Up to 6.3
// a bit marks the end of the stack. From 6.4 on a type does, and the types have other
// numbers.
type orcLayout struct {
	spReg, bpReg, kind, signal, end bitField
	types                           [8]orcType
	regs                            [16]orcReg
	// spIndirectAdds says whether the offset of ORC_REG_SP_INDIRECT is added after
	// the stack pointer is dereferenced (from 5.12 on) or before.
	spIndirectAdds bool
}

type bitField struct{ shift, width uint }

func (f bitField) of(v uint64) uint64 { return v >> f.shift & (1<<f.width - 1) }

type orcType byte

const (
	orcUndefined orcType = iota // no information
	orcEnd                      // the outermost frame
	orcCall                     // a return address is on the stack
	orcRegs                     // a struct pt_regs is on the stack
	orcIret                     // the processor's exception frame is on the stack
)

// orcReg is the meaning of a register code of struct orc_entry.
type orcReg byte

const (
	orcNoReg orcReg = iota // unchanged, or unknown
	orcPrevSP
	orcDX
	orcDI
	orcBP
	orcSP
	orcR10
	orcR13
	orcBPIndirect
	orcSPIndirect
)

// orcNumberings returns the two numberings of register codes
// (arch/x86/include/asm/orc_types.h). The kernel's types do not distinguish them, but
// the most frequent code, that of the stack pointer, does.
func orcNumberings() [][16]orcReg {
	return [][16]orcReg{
		{0, orcPrevSP, orcDX, orcDI, orcBP, orcSP, orcR10, orcR13, orcBPIndirect, orcSPIndirect},
		// Of 7.2, without codes that its tables do not use.
		{2: orcDX, 3: orcSP, 4: orcBP, 6: orcR10, 7: orcR13, 8: orcPrevSP, 9: orcSPIndirect, 10: orcBPIndirect},
	}
}

// dwarf returns DWARF's number of the register that a frame address is based on.
func (r orcReg) dwarf() (uint64, bool) {
	switch r {
	case orcDX:
		return regnum.AMD64_Rdx, true
	case orcDI:
		return regnum.AMD64_Rdi, true
	case orcBP, orcBPIndirect:
		return regnum.AMD64_Rbp, true
	case orcSP, orcSPIndirect:
		return regnum.AMD64_Rsp, true
	case orcR10:
		return regnum.AMD64_R10, true
	case orcR13:
		return regnum.AMD64_R13, true
	}
	return 0, false
}

// orcBits joins the bytes of an entry into a number.
func orcBits(entry []byte) uint64 {
	return uint64(le.Uint32(entry)) | uint64(le.Uint16(entry[4:]))<<32
}

// findNumbering sets l.regs. On entry to a function the caller's stack pointer
// is the stack pointer plus 8, so most entries with offset 8 have its code.
func (l *orcLayout) findNumbering(entries []byte) error {
	const enough = 1000 // entries
	var count [16]int
	for seen := 0; seen < enough && len(entries) >= orcEntrySize; entries = entries[orcEntrySize:] {
		if v := orcBits(entries); l.types[l.kind.of(v)] == orcCall && int16(v) == 8 {
			count[l.spReg.of(v)]++
			seen++
		}
	}
	top := 0
	for code, n := range count {
		if n > count[top] {
			top = code
		}
	}
	for _, regs := range orcNumberings() {
		if regs[top] == orcSP {
			l.regs = regs
			return nil
		}
	}
	return fmt.Errorf("its tables use register code %d for the stack pointer, unlike any known version", top)
}

// orcLayout reads the layout from the kernel's types.
func (im *Image) orcLayout() (orcLayout, error) {
	size, err := im.SizeOf("struct orc_entry")
	if err != nil {
		return orcLayout{}, err
	}
	if size != orcEntrySize {
		return orcLayout{}, fmt.Errorf("struct orc_entry has %d bytes, want %d", size, orcEntrySize)
	}
	l := orcLayout{
		types: [8]orcType{orcUndefined, orcEnd, orcCall, orcRegs, orcIret},
	}
	for name, to := range map[string]*bitField{"sp_reg": &l.spReg, "bp_reg": &l.bpReg, "type": &l.kind, "signal": &l.signal, "end": &l.end} {
		f, err := im.Field("orc_entry", name)
		var none *NotFoundError
		switch {
		case err == nil:
			*to = bitField{uint(8*f.Offset + f.BitOffset), uint(f.BitSize)}
		case !errors.As(err, &none):
			return orcLayout{}, err
		}
	}
	if l.end.width > 0 {
		l.types = [8]orcType{orcCall, orcRegs, orcIret}
	}
	if l.spReg.width != 4 || l.bpReg.width != 4 || l.kind.width == 0 || l.kind.width > 3 {
		return orcLayout{}, fmt.Errorf("struct orc_entry has members of unknown widths")
	}
	var major, minor int
	if n, _ := fmt.Sscanf(im.Release, "%d.%d", &major, &minor); n == 2 {
		l.spIndirectAdds = major > 5 || major == 5 && minor >= 12
	}
	return l, nil
}

// orcTables are the kernel's unwinding tables.
type orcTables struct {
	ips     []byte   // addresses, each relative to its own position
	addr    uint64   // of ips
	sorted  []uint64 // the addresses in order, if ips is not in order
	entries []byte   // in order of addresses
	layout  orcLayout
	saved   []regRule // of a struct pt_regs
}

// readORC returns .orc_unwind_ip, its address and .orc_unwind.
func (im *Image) readORC() (ips []byte, addr uint64, entries []byte, err error) {
	ips, ok := im.between("__start_orc_unwind_ip", "__stop_orc_unwind_ip")
	entries, ok2 := im.between("__start_orc_unwind", "__stop_orc_unwind")
	addr = im.marks["__start_orc_unwind_ip"]
	if !ok || !ok2 {
		f, err := elf.NewFile(bytes.NewReader(im.flat))
		if err == nil {
			defer f.Close()
			if s := f.Section(".orc_unwind_ip"); s != nil {
				addr = s.Addr
			}
		}
		ips, entries = im.section(".orc_unwind_ip"), im.section(".orc_unwind")
	}
	n := len(ips) / 4
	if n == 0 || len(entries) < n*orcEntrySize {
		return nil, 0, nil, notKernel("ORC", "the kernel has no unwinding tables (CONFIG_UNWINDER_ORC=y)")
	}
	return ips[:4*n], addr, entries[:n*orcEntrySize], nil
}

// openORC reads the tables once.
func (im *Image) openORC() (*orcTables, error) {
	im.orcOnce.Do(func() {
		ips, addr, entries, err := im.readORC()
		if err != nil {
			im.orcErr = err
			return
		}
		t := newORC(ips, addr, entries)
		if t.layout, err = im.orcLayout(); err == nil {
			err = t.layout.findNumbering(entries)
		}
		if err == nil {
			t.saved, err = im.ptRegs([]savedReg{
				{"ip", regnum.AMD64_Rip}, {"sp", regnum.AMD64_Rsp}, {"bp", regnum.AMD64_Rbp}, {"bx", regnum.AMD64_Rbx},
				{"r12", regnum.AMD64_R12}, {"r13", regnum.AMD64_R13}, {"r14", regnum.AMD64_R14}, {"r15", regnum.AMD64_R15},
			})
		}
		if err != nil {
			im.orcErr = fmt.Errorf("ORC: %w", err)
			return
		}
		im.orc = t
	})
	return &im.orc, im.orcErr
}

// newORC sorts the tables by address. The kernel's build does so since 5.6.
func newORC(ips []byte, addr uint64, entries []byte) orcTables {
	t := orcTables{ips: ips, addr: addr, entries: entries}
	if t.ascending() {
		return t
	}
	order := make([]int, t.len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.pc(a), t.pc(b)) })
	sorted := orcTables{ips: ips}
	for _, i := range order {
		sorted.sorted = append(sorted.sorted, t.pc(i))
		sorted.entries = append(sorted.entries, entries[orcEntrySize*i:orcEntrySize*(i+1)]...)
	}
	return sorted
}

func (t *orcTables) len() int { return len(t.ips) / 4 }

// pc returns the first address of entry i.
func (t *orcTables) pc(i int) uint64 {
	if t.sorted != nil {
		return t.sorted[i]
	}
	return t.addr + uint64(4*i) + uint64(int64(int32(le.Uint32(t.ips[4*i:]))))
}

func (t *orcTables) ascending() bool {
	for i, last := 0, uint64(0); i < t.len(); i++ {
		pc := t.pc(i)
		if pc < last {
			return false
		}
		last = pc
	}
	return true
}

// search returns the first entry whose address is not below pc.
func (t *orcTables) search(pc uint64) int {
	return sort.Search(t.len(), func(i int) bool { return t.pc(i) >= pc })
}

// rows decodes the entries of a span, and the first one after it.
func (t *orcTables) rows(of span) []frameRow {
	first := t.search(of.start)
	if first == t.len() || t.pc(first) != of.start {
		first = max(first-1, 0)
	}
	for first > 0 && t.pc(first-1) == t.pc(first) {
		first-- // of several entries for one address the last applies
	}
	end := min(t.search(of.end)+1, t.len())
	rows := make([]frameRow, 0, end-first)
	for i := first; i < end; i++ {
		rows = append(rows, t.layout.row(t.pc(i), t.entries[orcEntrySize*i:], t.saved))
	}
	return rows
}

// orcFrames converts the ORC tables to rows of call frame information.
func (im *Image) orcFrames(of span) ([]frameRange, error) {
	t, err := im.openORC()
	if err != nil {
		return nil, err
	}
	starts := im.Symbols.functionStarts()
	first, _ := slices.BinarySearch(starts, of.start)
	end, _ := slices.BinarySearch(starts, of.end)
	return splitRows(t.rows(of), starts[first:min(end+1, len(starts))]), nil
}

// row converts one entry to a row. Its meaning is defined by unwind_next_frame in
// arch/x86/kernel/unwind_orc.c.
func (l orcLayout) row(pc uint64, entry []byte, saved []regRule) frameRow {
	v := orcBits(entry)
	sp, bp := l.regs[l.spReg.of(v)], l.regs[l.bpReg.of(v)]
	r := frameRow{pc: pc, signal: l.signal.of(v) != 0}
	kind := l.types[l.kind.of(v)]
	if l.end.width > 0 && l.spReg.of(v) == 0 {
		kind = orcUndefined
		if l.end.of(v) != 0 {
			kind = orcEnd
		}
	}
	reg, ok := sp.dwarf()
	if kind == orcUndefined || kind != orcEnd && !ok {
		r.unknown = true
		return r
	}
	if kind == orcEnd {
		r.cfa = cfaRule{reg: regnum.AMD64_Rsp, off: 8}
		r.regs = []regRule{{reg: regnum.AMD64_Rip, how: ruleUndefined}}
		return r
	}
	r.cfa = cfaRule{reg: reg, off: int64(int16(v))}
	switch {
	case sp == orcBPIndirect, sp == orcSPIndirect && !l.spIndirectAdds:
		r.cfa.deref = derefSum
	case sp == orcSPIndirect:
		r.cfa.deref = derefThenAdd
	}
	switch kind {
	case orcRegs:
		r.signal = true
		r.regs = saved
		return r
	case orcIret:
		// rip, cs, rflags, rsp, ss
		r.signal = true
		r.regs = []regRule{
			{reg: regnum.AMD64_Rip, how: ruleOffset, off: 0},
			{reg: regnum.AMD64_Rsp, how: ruleOffset, off: 24},
		}
	default:
		r.regs = []regRule{{reg: regnum.AMD64_Rip, how: ruleOffset, off: -8}}
	}
	bpOff := int64(int16(v >> 16))
	switch bp {
	case orcPrevSP:
		r.regs = append(r.regs, regRule{reg: regnum.AMD64_Rbp, how: ruleOffset, off: bpOff})
	case orcBP:
		r.regs = append(r.regs, regRule{reg: regnum.AMD64_Rbp, how: ruleDeref, base: regnum.AMD64_Rbp, off: bpOff})
	}
	return r
}
