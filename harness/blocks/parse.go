package blocks

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// parser makes blocks of the lines of QEMU's log. It keeps the code that ran, and one
// block: the one whose end it has not seen yet.
type parser struct {
	decoder
	each  func(Block) error
	total Total

	// codes has the code of each of QEMU's translations by its address in QEMU. It is
	// kept while the log is off: QEMU keeps its translations too, and may use an address
	// again only for a new one, which is in the log.
	codes map[uint64]*Code
	// moved has the same code at other virtual addresses, where QEMU uses a translation
	// again for the same physical page (CF_PCREL): two processes' vDSO, for example.
	moved map[place]*Code
	pages map[uint64][]byte // by address: see Log.readPages
	fresh *Code             // the latest translation, until it runs
	open  *assembled        // the translation whose lines are being read

	ran     *Block // announced; nil if an interrupt has ended the latest
	host    uint64 // its address in QEMU
	limit   int    // at most so many instructions of it run, 0 is no limit
	rewound uint64 // where an access to a device ended it, 0 if none did
	rep     uint64 // the instruction with a rep prefix that the last block ended with
	device  bool   // the interrupt that follows is one of a device
}

// place is a translation at a virtual address.
type place struct{ host, pc uint64 }

func newParser(d decoder) *parser {
	return &parser{decoder: d, codes: map[uint64]*Code{}, moved: map[place]*Code{}, pages: map[uint64][]byte{}}
}

// begin begins a stretch of blocks.
func (p *parser) begin(each func(Block) error) {
	p.each, p.total = each, Total{}
	p.fresh, p.open, p.ran, p.rewound, p.rep, p.device = nil, nil, nil, 0, 0, false
}

// end ends the stretch: the guest is stopped at pc.
func (p *parser) end(pc uint64) error { return p.finish(pc, nil) }

var (
	prefixTrace   = []byte("Trace ")
	prefixStopped = []byte("Stopped execution of TB chain before ")
	prefixRewound = []byte("cpu_io_recompile: rewound execution of TB to ")
	prefixDevice  = []byte("Servicing hardware INT=")
	prefixRISCV   = []byte("riscv_cpu_do_interrupt: ")
	prefixIn      = []byte("IN:")
	prefixAddr    = []byte("0x")
	inX86         = []byte(": v=")
)

// line reads a line.
func (p *parser) line(l []byte) error {
	if p.open != nil {
		if bytes.HasPrefix(l, prefixAddr) {
			return p.open.line(l)
		}
		code, err := p.open.code(p.kind)
		p.open, p.fresh = nil, code
		if err != nil {
			return err
		}
	}
	switch {
	case bytes.HasPrefix(l, prefixTrace):
		return p.trace(l)
	case bytes.HasPrefix(l, prefixIn):
		p.open = &assembled{}
	case bytes.HasPrefix(l, prefixStopped):
		// The block was announced and did not run. What was the next block of the one
		// before stays the next one.
		if host, _ := hexAfter(l, prefixStopped); host == p.host {
			p.ran = nil
		}
	case bytes.HasPrefix(l, prefixRewound):
		p.rewound, _ = hexAfter(l, prefixRewound)
	case bytes.HasPrefix(l, prefixDevice):
		p.device = true
	case bytes.HasPrefix(l, prefixRISCV):
		return p.riscv(l)
	case bytes.Contains(l, inX86):
		return p.x86(l)
	}
	return nil
}

// trace reads "Trace 0: 0x7f… [CS/PC/FLAGS/CFLAGS] ".
func (p *parser) trace(l []byte) error {
	host, rest := hexAfter(l, []byte(": "))
	_, rest, _ = bytes.Cut(rest, []byte("["))
	rest, _, ok := bytes.Cut(rest, []byte("]"))
	fields := bytes.Split(rest, []byte("/"))
	if !ok || len(fields) != 4 {
		return fmt.Errorf("the line %q has no block", l)
	}
	pc, flags, cflags := number(fields[1]), number(fields[2]), number(fields[3])
	if err := p.finish(pc, nil); err != nil {
		return err
	}
	if p.fresh != nil && p.fresh.At[0] == pc {
		if p.codes[host] != nil {
			maps.DeleteFunc(p.moved, func(at place, _ *Code) bool { return at.host == host })
		}
		p.codes[host] = p.fresh
	}
	p.fresh = nil
	// CF_COUNT_MASK in QEMU's include/exec/translation-block.h
	p.host, p.limit = host, int(cflags&0x1ff)
	code := p.code(host, pc)
	switch {
	case code == nil && p.limit == 1:
		code = p.single(pc)
		p.codes[host] = code
	case code == nil:
		return fmt.Errorf("QEMU has not logged the code of the block at %#x", pc)
	}
	p.ran = &Block{PC: pc, Mode: p.mode(flags), Code: code, Again: p.rep != 0 && p.rep == pc && code.Kind == Repeated && len(code.At) == 1}
	return nil
}

const pageSize = 1 << 12

// single returns the code of one instruction, from a page that has breakpoints.
func (p *parser) single(pc uint64) *Code {
	c := &Code{At: []uint64{pc}, Text: []string{Unread}, End: pc}
	page := p.pages[pc&^(pageSize-1)]
	if page == nil {
		return c
	}
	bytes := page[pc%pageSize:]
	text, size := p.disassemble(bytes)
	if size == 0 {
		return c
	}
	c.Text[0], c.End = text, pc+uint64(size)
	c.Kind, c.Target = p.kind(pc, bytes[:size])
	return c
}

// code returns the code of a translation that runs at pc, nil if it was not in the log.
func (p *parser) code(host, pc uint64) *Code {
	code := p.codes[host]
	switch {
	case code == nil || code.At[0]%pageSize != pc%pageSize || code.At[0] != pc && p.limit == 1 && p.pages[pc&^(pageSize-1)] != nil:
		return nil
	case code.At[0] == pc:
		return code
	}
	at := place{host, pc}
	if p.moved[at] == nil {
		by := pc - code.At[0]
		m := *code
		m.At = make([]uint64, len(code.At))
		for i, a := range code.At {
			m.At[i] = a + by
		}
		m.End += by
		if m.Target != 0 {
			m.Target += by
		}
		p.moved[at] = &m
	}
	return p.moved[at]
}

// finish ends the block that was announced: the guest went on at next, after an interrupt
// or without one.
func (p *parser) finish(next uint64, in *Interrupt) error {
	b := p.ran
	switch {
	case b == nil && in == nil:
		return nil
	case b == nil:
		b = &Block{PC: next}
	default:
		b.N = p.length(next, in)
	}
	b.Next, b.Interrupt = next, in
	p.ran, p.rewound, p.rep = nil, 0, 0
	if b.Code != nil && b.Ends() == Repeated {
		p.rep = b.Code.At[b.N-1]
	}
	p.total.Blocks++
	p.total.Instructions += uint64(b.N)
	if p.each == nil {
		return nil
	}
	return p.each(*b)
}

// length returns how many instructions of the announced block ran.
func (p *parser) length(next uint64, in *Interrupt) int {
	code := p.ran.Code
	n := len(code.At)
	if p.limit > 0 {
		n = min(n, p.limit)
	}
	at := func(addr uint64) (int, bool) { return slices.BinarySearch(code.At[:n], addr) }
	if p.rewound != 0 {
		if i, ok := at(p.rewound); ok {
			return i
		}
	}
	i, inside := at(next)
	switch {
	case !inside || in != nil && in.Device:
		// QEMU serves devices between blocks only.
		return n
	case in != nil && i == n-1 && code.Kind == Trap:
		return n // it traps by what it does, and does not run again
	case in != nil:
		return i
	case i > 0 && code.Kind == Plain:
		return i // QEMU ended the block early, and nothing in it jumps
	}
	return n
}

// riscv reads "riscv_cpu_do_interrupt: hart:0, async:0, cause:…, epc:0x…, tval:0x…,
// desc=…".
func (p *parser) riscv(l []byte) error {
	epc, ok := hexAfter(l, []byte("epc:"))
	if ok == nil {
		return fmt.Errorf("the line %q has no address", l)
	}
	cause, _ := hexAfter(l, []byte("cause:"))
	_, name, _ := bytes.Cut(l, []byte("desc="))
	const interrupt = 1 << 63 // of scause
	return p.finish(epc, &Interrupt{
		Device: bytes.Contains(l, []byte("async:1")), Cause: cause &^ interrupt, Name: string(bytes.TrimSpace(name)),
	})
}

// x86 reads "     0: v=0e e=0007 i=0 cpl=3 IP=0033:0000000000454b00 pc=… SP=002b:… CR2=…".
func (p *parser) x86(l []byte) error {
	pc, ok := hexAfter(l, []byte(" pc="))
	if ok == nil {
		return nil // another line
	}
	vector, _ := hexAfter(l, inX86)
	_, sp, _ := bytes.Cut(l, []byte(" SP="))
	stack, _ := hexAfter(sp, []byte(":"))
	device := p.device
	p.device = false
	return p.finish(pc, &Interrupt{Device: device, Cause: vector, SP: stack})
}

// hexAfter returns the hexadecimal number after a word of a line, and what follows it;
// nil if the line does not have it.
func hexAfter(l, word []byte) (uint64, []byte) {
	_, rest, ok := bytes.Cut(l, word)
	if !ok {
		return 0, nil
	}
	rest = bytes.TrimPrefix(rest, prefixAddr)
	n := 0
	for n < len(rest) && digit(rest[n]) >= 0 {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	return number(rest[:n]), rest[n:]
}

// number returns a hexadecimal number.
func number(text []byte) uint64 {
	v := uint64(0)
	for _, c := range text {
		v = v<<4 | uint64(max(digit(c), 0))
	}
	return v
}

func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// assembled is a translation whose lines are being read.
type assembled struct {
	at    []uint64
	text  []string
	bytes []byte // of the last instruction
}

// line reads an instruction: its address, its code in hexadecimal, either as bytes or as
// a little-endian number, and its text. QEMU breaks the line of a long one after eight
// bytes.
func (a *assembled) line(l []byte) error {
	addr, rest := hexAfter(l, nil)
	rest, ok := bytes.CutPrefix(rest, []byte(":"))
	if !ok {
		return fmt.Errorf("the line %q has no instruction", l)
	}
	var code []byte
	for {
		rest = bytes.TrimLeft(rest, " ")
		word, more, _ := bytes.Cut(rest, []byte(" "))
		if !isCode(word) || len(code) > 0 && len(word) != 2 {
			break
		}
		for i := len(word) - 2; i >= 0; i -= 2 {
			code = append(code, byte(number(word[i:i+2])))
		}
		if rest = more; len(word) > 2 {
			break
		}
	}
	text := string(bytes.Join(bytes.Fields(rest), []byte(" ")))
	switch {
	case len(code) == 0:
		return fmt.Errorf("the line %q has no code", l)
	case text == "" && len(a.at) > 0:
		a.bytes = append(a.bytes, code...) // the rest of a long instruction
		return nil
	}
	a.at, a.text, a.bytes = append(a.at, addr), append(a.text, text), code
	return nil
}

func isCode(word []byte) bool {
	for _, c := range word {
		if digit(c) < 0 {
			return false
		}
	}
	return len(word) == 2 || len(word) == 4 || len(word) == 8
}

// code returns the translation, nil if it has no instruction.
func (a *assembled) code(kind func(uint64, []byte) (Kind, uint64)) (*Code, error) {
	if len(a.at) == 0 {
		return nil, nil
	}
	if !slices.IsSorted(a.at) {
		return nil, fmt.Errorf("the code at %#x is not in order", a.at[0])
	}
	last := a.at[len(a.at)-1]
	c := &Code{At: a.at, Text: a.text, End: last + uint64(len(a.bytes))}
	c.Kind, c.Target = kind(last, a.bytes)
	return c, nil
}
