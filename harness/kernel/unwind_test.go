package kernel

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/regnum"
	"github.com/google/go-cmp/cmp"
)

func orcOld() orcLayout {
	l := orcLayout{spReg: bitField{32, 4}, bpReg: bitField{36, 4}, kind: bitField{40, 2}, end: bitField{42, 1}}
	l.types = [8]orcType{orcCall, orcRegs, orcIret}
	l.regs = orcNumberings()[0]
	return l
}

func orcNew() orcLayout {
	l := orcLayout{spReg: bitField{32, 4}, bpReg: bitField{36, 4}, kind: bitField{40, 3}, signal: bitField{43, 1}, spIndirectAdds: true}
	l.types = [8]orcType{orcUndefined, orcEnd, orcCall, orcRegs, orcIret}
	l.regs = orcNumberings()[1]
	return l
}

// imageOf makes an image that has only unwinding information.
func imageOf(m machine, ranges []frameRange) *Image {
	m.frames = func(*Image, span) ([]frameRange, error) { return ranges, nil }
	return &Image{Arch: m.name, machine: m, Symbols: &Symbols{}}
}

// x86PtRegs has the offsets of arch/x86/include/asm/ptrace.h.
func x86PtRegs() []regRule {
	return []regRule{
		{reg: regnum.AMD64_Rip, how: ruleOffset, off: 128}, {reg: regnum.AMD64_Rsp, how: ruleOffset, off: 152},
		{reg: regnum.AMD64_Rbp, how: ruleOffset, off: 32}, {reg: regnum.AMD64_Rbx, how: ruleOffset, off: 40},
	}
}

// TestORC unwinds one frame by one entry. Entries are as in 5.10 or 7.2; memory
// at an address holds the address plus one.
func TestORC(t *testing.T) {
	const sp, bp, r10 = 0xffffc90000001000, 0xffffc90000002000, 0xffffc90000003000
	cases := []struct {
		name   string
		layout orcLayout
		entry  string
		want   *Frame // nil: the outermost
		err    string
	}{
		{"entry of a function, 5.10", orcOld(), "0800 0000 0500", &Frame{PC: sp + 1, Regs: map[string]uint64{"rsp": sp + 8, "rbp": bp}}, ""},
		{"entry of a function, 7.2", orcNew(), "0800 0000 0302", &Frame{PC: sp + 1, Regs: map[string]uint64{"rsp": sp + 8, "rbp": bp}}, ""},
		{"rbp pushed, 5.10", orcOld(), "1000 f0ff 1500", &Frame{PC: sp + 9, Regs: map[string]uint64{"rsp": sp + 16, "rbp": sp + 1}}, ""},
		{"rbp pushed, 7.2", orcNew(), "1000 f0ff 8302", &Frame{PC: sp + 9, Regs: map[string]uint64{"rsp": sp + 16, "rbp": sp + 1}}, ""},
		{"by frame pointer, 7.2", orcNew(), "1000 f0ff 8402", &Frame{PC: bp + 9, Regs: map[string]uint64{"rsp": bp + 16, "rbp": bp + 1}}, ""},
		{"realigned, 7.2", orcNew(), "0000 0000 4602", &Frame{PC: r10 - 8 + 1, Regs: map[string]uint64{"rsp": r10, "rbp": bp + 1}}, ""},
		{"realigned and r10 saved, 7.2", orcNew(), "d8ff 0000 4a02", &Frame{PC: bp - 40 + 1 - 8 + 1, Regs: map[string]uint64{"rsp": bp - 40 + 1, "rbp": bp + 1}}, ""},
		{"on another stack, 7.2", orcNew(), "1000 0000 0902", &Frame{PC: sp + 1 + 16 - 8 + 1, Regs: map[string]uint64{"rsp": sp + 1 + 16, "rbp": bp}}, ""},
		{"pt_regs, 5.10", orcOld(), "1000 0000 0501", &Frame{PC: sp + 16 + 128 + 1, Interrupted: true,
			Regs: map[string]uint64{"rsp": sp + 16 + 152 + 1, "rbp": sp + 16 + 32 + 1, "rbx": sp + 16 + 40 + 1}}, ""},
		{"pt_regs, 7.2", orcNew(), "f8ff 0000 030b", &Frame{PC: sp - 8 + 128 + 1, Interrupted: true,
			Regs: map[string]uint64{"rsp": sp - 8 + 152 + 1, "rbp": sp - 8 + 32 + 1, "rbx": sp - 8 + 40 + 1}}, ""},
		{"what the processor pushed, 7.2", orcNew(), "0800 0000 030c", &Frame{PC: sp + 8 + 1, Interrupted: true, Regs: map[string]uint64{"rsp": sp + 8 + 24 + 1, "rbp": bp}}, ""},
		{"end of the stack, 5.10", orcOld(), "0000 0000 0004", nil, ""},
		{"end of the stack, 7.2", orcNew(), "0000 0000 0001", nil, ""},
		{"nothing known, 5.10", orcOld(), "0000 0000 0000", nil, "no unwinding information"},
		{"nothing known, 7.2", orcNew(), "0000 0000 0000", nil, "no unwinding information"},
		{"an unknown register, 7.2", orcNew(), "0000 0000 0f02", nil, "no unwinding information"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			entry, err := hex.DecodeString(strings.ReplaceAll(c.entry, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			const pc = 0xffffffff81000000
			rows := []frameRow{c.layout.row(pc, entry, x86PtRegs()), {pc: pc + 64, unknown: true}}
			im := imageOf(machines()[0], splitRows(rows, nil))
			f := Frame{PC: pc + 5, Regs: map[string]uint64{"rsp": sp, "rbp": bp, "r10": r10}}
			next, ok, err := im.Caller(f, func(addr uint64) (uint64, error) { return addr + 1, nil })
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v, want an error with %q", next, err, c.err)
				}
			case err != nil:
				t.Error(err)
			case c.want == nil:
				if ok {
					t.Errorf("got %+v, want no caller", next)
				}
			default:
				delete(next.Regs, "r10")
				delete(next.Regs, "rip")
				if diff := cmp.Diff(*c.want, next); diff != "" {
					t.Errorf("caller (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestORCNumbering(t *testing.T) {
	for i, code := range []byte{5, 3} {
		l := orcNew()
		l.regs = [16]orcReg{}
		entries := []byte{8, 0, 0, 0, 7, 2, 8, 0, 0, 0, code, 2, 8, 0, 0, 0, code, 2}
		if err := l.findNumbering(entries); err != nil || l.regs != orcNumberings()[i] {
			t.Errorf("code %d: got %v, %v", code, l.regs, err)
		}
	}
	l := orcNew()
	if err := l.findNumbering([]byte{8, 0, 0, 0, 12, 2}); err == nil {
		t.Error("an unknown numbering is accepted")
	}
}

func TestSplitRows(t *testing.T) {
	row := func(pc uint64, off int64, signal bool) frameRow {
		return frameRow{pc: pc, signal: signal, cfa: cfaRule{reg: regnum.AMD64_Rsp, off: off}}
	}
	rows := []frameRow{row(0x100, 8, false), row(0x104, 16, false), {pc: 0x110, unknown: true}, row(0x120, 8, false), row(0x140, 24, true), {pc: 0x150, unknown: true}}
	got := splitRows(rows, []uint64{0x100, 0x130})
	want := []frameRange{
		{start: 0x100, end: 0x110, rows: rows[0:2]},
		{start: 0x120, end: 0x130, rows: []frameRow{rows[3]}},
		{start: 0x130, end: 0x140, rows: []frameRow{row(0x130, 8, false)}},
		{start: 0x140, end: 0x150, signal: true, rows: []frameRow{rows[4]}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(frameRange{}, frameRow{}, cfaRule{}, regRule{})); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

// TestRISCVFrame walks the code of __riscv_sys_clone (6.12.107+deb13-riscv64).
func TestRISCVFrame(t *testing.T) {
	code, err := hex.DecodeString(riscvSysClone)
	if err != nil {
		t.Fatal(err)
	}
	const start = 0xffffffff800219a4
	rows := riscvRows(start, code)
	im := imageOf(machines()[1], []frameRange{{start: start, end: start + uint64(len(code)), rows: rows}})
	const sp, fp, ra = 0xffff8f8000001000, 0xffff8f8000002000, 0xffffffff80a69d60
	read := func(addr uint64) (uint64, error) { return addr + 1, nil }
	for _, c := range []struct {
		name string
		off  uint64
		want Frame
	}{
		{"at entry", 0, Frame{PC: ra, Regs: map[string]uint64{"sp": sp, "fp": fp, "ra": ra}}},
		{"in the body", riscvSysCloneBody, Frame{PC: fp - 8 + 1, Regs: map[string]uint64{"sp": fp, "fp": fp - 16 + 1, "ra": fp - 8 + 1}}},
		{"at the return", uint64(len(code)) - 2, Frame{PC: ra, Regs: map[string]uint64{"sp": sp, "fp": fp, "ra": ra}}},
	} {
		f := Frame{PC: start + c.off, Interrupted: true, Regs: map[string]uint64{"sp": sp, "fp": fp, "ra": ra}}
		got, ok, err := im.Caller(f, read)
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", c.name, ok, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	// Its caller cannot still have the return address in ra.
	if _, _, err := im.Caller(Frame{PC: start + 1, Regs: map[string]uint64{"sp": sp, "ra": ra}}, read); err == nil {
		t.Error("a frame that never saved its return address has a caller")
	}
}

// TestRISCVCopiedRA walks the code of fallback_scalar_usercopy (7.2.13+deb14-riscv64),
// which keeps its return address in t6.
func TestRISCVCopiedRA(t *testing.T) {
	code, err := hex.DecodeString("b70f040073a00f10868f97000000e7802003fe80b70f040073b00f108280")
	if err != nil {
		t.Fatal(err)
	}
	const start = 0xffffffff80dbe1a8
	im := imageOf(machines()[1], []frameRange{{start: start, end: start + uint64(len(code)), rows: riscvRows(start, code)}})
	const sp, ra, t6 = 0xffff8f8000001000, 0xffffffff80a69d60, 0xffffffff8049f638
	read := func(addr uint64) (uint64, error) { return 0, errors.New("nothing is in memory") }
	for off, want := range map[uint64]uint64{0: ra, 8: ra, 10: ra, 14: t6, 18: t6, 20: ra, 28: ra} {
		f := Frame{PC: start + off, Interrupted: true, Regs: map[string]uint64{"sp": sp, "ra": ra, "t6": t6}}
		if got, ok, err := im.Caller(f, read); err != nil || !ok || got.PC != want {
			t.Errorf("at +%d: %#x, %v, %v, want %#x", off, got.PC, ok, err, uint64(want))
		}
	}
	// In the function that it calls t6 is kept, where that was interrupted.
	f := Frame{PC: start + 18, Regs: map[string]uint64{"sp": sp, "t6": t6}}
	if got, ok, err := im.Caller(f, read); err != nil || !ok || got.PC != t6 {
		t.Errorf("in its call: %#x, %v, %v, want %#x", got.PC, ok, err, uint64(t6))
	}
	delete(f.Regs, "t6")
	if _, _, err := im.Caller(f, read); err == nil {
		t.Error("a return address in a register that is not known was found")
	}
}

func TestCallerPassesReadErrors(t *testing.T) {
	rows := []frameRow{orcOld().row(0x100, []byte{8, 0, 0, 0, 5, 0}, nil), {pc: 0x200, unknown: true}}
	im := imageOf(machines()[0], splitRows(rows, nil))
	gone := errors.New("the guest is gone")
	_, _, err := im.Caller(Frame{PC: 0x110, Regs: map[string]uint64{"rsp": 8}}, func(uint64) (uint64, error) { return 0, gone })
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
	if _, _, err := im.Caller(Frame{PC: 0x110}, nil); err == nil {
		t.Error("a frame without a stack pointer has a caller")
	}
}

// checkCFI parses what was written and evaluates every range at its ends.
func checkCFI(t *testing.T, m machine, ranges []frameRange) {
	w := cfiWriter{m: m, cies: make(map[cieKey]uint32)}
	for _, r := range ranges {
		w.fde(r)
	}
	fdes, err := frame.Parse(w.buf.Bytes(), binary.LittleEndian, 0, 8, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(fdes) != len(ranges) {
		t.Fatalf("wrote %d ranges, read %d", len(ranges), len(fdes))
	}
	for i, fde := range fdes {
		if r := ranges[i]; fde.Begin() != r.start || fde.End() != r.end {
			t.Fatalf("range %#x to %#x reads back as %#x to %#x", r.start, r.end, fde.Begin(), fde.End())
		}
		ctx, err := fde.EstablishFrame(fde.End() - 1)
		if err != nil {
			t.Fatal(err)
		}
		if last := ranges[i].rows[len(ranges[i].rows)-1].cfa; last.deref == derefNone && (ctx.CFA.Reg != last.reg || ctx.CFA.Offset != last.off) {
			t.Fatalf("range %#x: CFA %d%+d reads back as %d%+d", ranges[i].start, last.reg, last.off, ctx.CFA.Reg, ctx.CFA.Offset)
		}
	}
}

func FuzzORC(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 4, 1, 0, 0, 8, 1, 0, 0}, []byte{8, 0, 0, 0, 5, 0, 16, 0, 0xf0, 0xff, 0x15, 0, 0, 0, 0, 0, 0, 0}, false)
	f.Add([]byte{0, 1, 0, 0, 4, 1, 0, 0, 8, 1, 0, 0}, []byte{8, 0, 0, 0, 3, 2, 0xf8, 0xff, 0, 0, 3, 0xb, 0, 0, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, ips, entries []byte, newer bool) {
		n := min(len(ips)/4, len(entries)/orcEntrySize)
		layout := orcOld()
		if newer {
			layout = orcNew()
		}
		_ = layout.findNumbering(entries)
		tables := newORC(ips[:4*n], riscvLinkBase, entries[:n*orcEntrySize])
		tables.layout, tables.saved = layout, x86PtRegs()
		rows := tables.rows(everything())
		checkCFI(t, machines()[0], splitRows(rows, []uint64{riscvLinkBase, riscvLinkBase + 0x102}))
	})
}

func FuzzRISCVFrames(f *testing.F) {
	if code, err := hex.DecodeString(riscvSysClone); err == nil {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) == 0 {
			return
		}
		code = code[:min(len(code), 4096)]
		rows := riscvRows(riscvLinkBase, code)
		end := riscvLinkBase + uint64(len(code))
		checkCFI(t, machines()[1], []frameRange{{start: riscvLinkBase, end: end, rows: rows}})
	})
}

const (
	riscvSysClone     = "0100010001000100411122e006e400083879347530712c6d0335851197000000e78060d1a260026441018280"
	riscvSysCloneBody = 0x24 // after its call
)
