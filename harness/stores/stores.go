// Package stores finds the instruction that has just written to memory, and where the
// value that it wrote came from: another place in memory, which makes the write a copy, a
// constant, or a computation.
//
// It decodes the code of the function around the stop with golang.org/x/arch, and looks
// back from the store for the instruction that gave the stored register its value. What
// it finds is what the registers and the memory at the stop agree with: a source in
// memory is reported only if it still holds the value.
package stores

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Guest is a guest that has stopped after a write to memory that was watched.
type Guest struct {
	Arch string
	PC   uint64            // of the stop: of the next instruction, or of one that repeats itself
	Regs map[string]uint64 // by the gdbstub's names
	// Addr and Size are the memory that was watched.
	Addr uint64
	Size int
	// Read reads the guest's memory, and Function returns the start of the function that
	// an address is in.
	Read     func(addr uint64, buf []byte) error
	Function func(addr uint64) (start uint64, ok bool)
}

// Store is an instruction that wrote to memory.
type Store struct {
	PC   uint64
	Text string // the instruction, disassembled
	Addr uint64 // what it wrote: Size bytes at Addr
	Size int
	Kind Kind
	From *Source // of a copy
}

// Kind is where a stored value came from.
type Kind string

const (
	Copy     Kind = "copy"     // memory, by a load before the store or by the store itself
	Constant Kind = "constant" // the code
	Call     Kind = "call"     // a return address, which a call pushed
	Computed Kind = "computed" // anything else, such as an argument of the function
)

// Source is the memory that a copy was read from.
type Source struct {
	Addr uint64 // of the byte that went to Store.Addr
	Size int    // how many bytes were copied
}

// ErrNotFound says that no instruction before the stop writes to the memory.
var ErrNotFound = errors.New("no instruction before the stop writes there: the processor did, for an exception, or the code before the stop is not what ran")

// operand is memory that an instruction names: base + index*scale + disp.
type operand struct {
	base, index string // registers, "" for none
	scale       uint64
	disp        int64
}

func (o operand) address(regs map[string]uint64) uint64 {
	return regs[o.base] + regs[o.index]*o.scale + uint64(o.disp)
}

// instruction is what matters here of an instruction, on every architecture.
type instruction struct {
	pc     uint64
	size   int
	text   string
	repeat bool // it repeats itself, and its PC stays until it ends
	leaves bool // the next instruction does not follow it
	calls  bool
	writes []string // registers

	add struct { // it adds a constant to a register
		reg string
		n   int64
	}
	shift struct { // it shifts a register to the left
		reg string
		n   int64
	}
	stores  *store
	defines *definition
}

// store is what an instruction stores, by the registers after it.
type store struct {
	to       operand
	size     int
	register string   // that is stored
	from     *operand // memory that is stored
	constant bool     // a constant is stored
	address  bool     // a return address is stored
}

// definition is how an instruction gives a register its value, if that is simple.
type definition struct {
	reg      string
	from     *operand // a load of size bytes
	size     int
	register string // a move
	constant *uint64
}

// decoder is what a decoder knows of an architecture.
type decoder struct {
	decode  func(code []byte, pc uint64) (instruction, bool)
	longest int // bytes of an instruction
	step    int // after one that is not known
	// scratch are the registers that a call may change.
	scratch []string
	sp      string // where a call pushes its return address, "" where it does not
}

var decoders = map[string]decoder{"x86_64": x86, "riscv64": riscv}

// maxFunction bounds how much of a function is decoded, in bytes.
const maxFunction = 64 << 10

// Find finds the store that stopped the guest.
func Find(g Guest) (Store, error) {
	d, ok := decoders[g.Arch]
	if !ok {
		return Store{}, fmt.Errorf("no decoder for %s", g.Arch)
	}
	code, err := d.before(g)
	if err != nil {
		return Store{}, err
	}
	for i := len(code) - 1; i >= max(len(code)-2, 0); i-- {
		in := code[i]
		at := in.pc+uint64(in.size) == g.PC || in.pc == g.PC && in.repeat
		if !at || in.stores == nil {
			continue
		}
		addr := in.stores.to.address(g.Regs)
		if addr < g.Addr+uint64(g.Size) && g.Addr < addr+uint64(in.stores.size) {
			s := Store{PC: in.pc, Text: in.text, Addr: addr, Size: in.stores.size}
			s.Kind, s.From = d.origin(g, code[:i+1], addr)
			return s, nil
		}
	}
	if in, ok := d.caller(g); ok {
		return in, nil
	}
	return Store{}, ErrNotFound
}

// before returns the instructions of the function up to the stop, the one at the stop
// included.
func (d decoder) before(g Guest) ([]instruction, error) {
	start, ok := g.Function(g.PC)
	if !ok || g.PC-start > maxFunction {
		start = g.PC - 16*4 // it may not be the start of an instruction on x86; see below
	}
	code := make([]byte, int(g.PC-start)+d.longest)
	if err := g.Read(start, code); err != nil {
		return nil, fmt.Errorf("read the code at %#x: %w", start, err)
	}
	var out []instruction
	for off := 0; uint64(off) <= g.PC-start; {
		in, ok := d.decode(code[off:], start+uint64(off))
		if !ok {
			in = instruction{pc: start + uint64(off), size: d.step}
		}
		out = append(out, in)
		off += in.size
	}
	return out, nil
}

// caller returns the call that has just pushed its return address, if the stop is at the
// beginning of the function that was called.
func (d decoder) caller(g Guest) (Store, bool) {
	if d.sp == "" {
		return Store{}, false
	}
	sp := g.Regs[d.sp]
	word := make([]byte, 8)
	if sp+8 <= g.Addr || g.Addr+uint64(g.Size) <= sp || g.Read(sp, word) != nil {
		return Store{}, false
	}
	from := g
	from.PC = number(word)
	code, err := d.before(from)
	if err != nil || len(code) < 2 {
		return Store{}, false
	}
	in := code[len(code)-2]
	if !in.calls || in.pc+uint64(in.size) != from.PC {
		return Store{}, false
	}
	return Store{PC: in.pc, Text: in.text, Addr: sp, Size: 8, Kind: Call}, true
}

// maxBack bounds how many instructions before a store are looked at.
const maxBack = 64

// origin returns where the value came from that the last instruction stored at addr.
func (d decoder) origin(g Guest, code []instruction, addr uint64) (Kind, *Source) {
	last := len(code) - 1
	s := code[last].stores
	switch {
	case s.address:
		return Call, nil
	case s.constant:
		return Constant, nil
	case s.from != nil:
		return copied(g, addr, s.from.address(g.Regs), s.size, s.size)
	case s.register == "":
		return Computed, nil
	}
	reg := s.register
	var later []instruction // that change the register by constants, the last one first
	for i := last - 1; i >= 0 && i >= last-maxBack && !code[i].leaves; i-- {
		in := code[i]
		if in.calls && slices.Contains(d.scratch, reg) {
			break
		}
		if !slices.Contains(in.writes, reg) {
			continue
		}
		def := in.defines
		switch {
		case in.add.reg == reg || in.shift.reg == reg:
			later = append(later, in)
			continue
		case def == nil || def.reg != reg:
			return Computed, nil
		case def.register != "":
			reg = def.register
			continue
		case def.constant != nil:
			return constant(g, addr, s.size, *def.constant, later), nil
		case later != nil:
			return Computed, nil
		}
		from, ok := d.earlier(g, *def.from, code[i:])
		if !ok {
			return Computed, nil
		}
		return copied(g, addr, from, s.size, def.size)
	}
	return Computed, nil
}

// constant reports a constant if it is what was stored: code may also come to the store
// from elsewhere, with another value in the register.
func constant(g Guest, addr uint64, size int, n uint64, later []instruction) Kind {
	for _, in := range slices.Backward(later) {
		n = (n + uint64(in.add.n)) << in.shift.n
	}
	b := make([]byte, min(size, 8))
	if g.Read(addr, b) != nil || number(b) != n&(1<<(8*len(b)-1)<<1-1) {
		return Computed
	}
	return Constant
}

// earlier returns the address of an operand of the first instruction, by the registers
// after the last: those in it may only have changed by constants since.
func (d decoder) earlier(g Guest, o operand, code []instruction) (uint64, bool) {
	addr := o.address(g.Regs)
	for _, r := range []struct {
		reg   string
		scale uint64
	}{{o.base, 1}, {o.index, o.scale}} {
		if r.reg == "" {
			continue
		}
		for _, in := range code {
			switch {
			case in.calls && slices.Contains(d.scratch, r.reg):
				return 0, false
			case !slices.Contains(in.writes, r.reg):
			case in.add.reg != r.reg:
				return 0, false
			default:
				addr -= uint64(in.add.n) * r.scale
			}
		}
	}
	return addr, true
}

// copied reports a copy if the source has the value that was stored.
func copied(g Guest, addr, from uint64, stored, loaded int) (Kind, *Source) {
	size := min(stored, loaded)
	a, b := make([]byte, size), make([]byte, size)
	if g.Read(addr, a) != nil || g.Read(from, b) != nil || !bytes.Equal(a, b) || addr == from {
		return Computed, nil
	}
	return Copy, &Source{Addr: from, Size: size}
}

func number(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}
