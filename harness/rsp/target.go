package rsp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A Target describes the guest's CPUs, as read from the stub's target description.
// The GDB manual specifies its format in the appendix Target Description Format.
type Target struct {
	// Architecture is BFD's name, such as i386:x86-64 or riscv:rv64.
	Architecture string
	// Registers are in the order of their numbers.
	Registers []Register

	pc int // index of the program counter
}

// A Register is one register of a vCPU.
type Register struct {
	Name   string
	Number int
	Bits   int
	// Offset is where the register starts in a g packet, in bytes. It is -1 for a
	// register that is not in the g packet and has to be read with p.
	Offset int
	Type   string // such as int64, code_ptr, i387_ext
	Group  string // such as general, float, vector; often empty
}

// Register returns the register with the given name.
func (t *Target) Register(name string) (Register, bool) {
	i := slices.IndexFunc(t.Registers, func(r Register) bool { return r.Name == name })
	if i < 0 {
		return Register{}, false
	}
	return t.Registers[i], true
}

// PC returns the program counter.
func (t *Target) PC() Register { return t.Registers[t.pc] }

// kind is the last argument of Z0: the size of the breakpoint instruction.
// QEMU ignores it (TCG writes no instruction to memory, KVM reads the size from
// the instruction), but GDB sends the true size and so do we. On riscv an address
// that is not a multiple of 4 must hold a compressed instruction.
func (t *Target) kind(addr uint64) int {
	if !strings.HasPrefix(t.Architecture, "riscv") {
		return 1
	}
	if addr%4 != 0 {
		return 2
	}
	return 4
}

// Limits of a description. QEMU's largest, riscv64 with vectors, has about 600
// registers in 40 KiB.
const (
	maxAnnexBytes = 1 << 20
	maxIncludes   = 64
	maxRegisters  = 8192
	maxBits       = 1 << 16
)

// parseTarget reads the description that starts in target.xml. fetch returns
// the text of a document by its annex, its name in the protocol.
func parseTarget(fetch func(annex string) ([]byte, error)) (*Target, error) {
	p := targetParser{fetch: fetch, seen: map[string]bool{}}
	if err := p.annex("target.xml"); err != nil {
		return nil, err
	}
	t := &p.target
	slices.SortStableFunc(t.Registers, func(a, b Register) int { return a.Number - b.Number })
	for i, r := range t.Registers[:max(0, len(t.Registers)-1)] {
		if next := t.Registers[i+1]; next.Number == r.Number {
			return nil, fmt.Errorf("target description: registers %s and %s both have number %d", r.Name, next.Name, r.Number)
		}
	}
	t.pc = -1
	for _, name := range []string{"pc", "rip", "eip"} {
		if i := slices.IndexFunc(t.Registers, func(r Register) bool { return r.Name == name && r.Bits <= 64 }); i >= 0 {
			t.pc = i
			break
		}
	}
	if t.pc < 0 {
		return nil, fmt.Errorf("target description: no program counter among the %d registers of %q", len(t.Registers), t.Architecture)
	}
	return t, nil
}

// setOffsets sets each register's offset in a g packet of size bytes. QEMU leaves
// out the registers with the highest numbers.
func (t *Target) setOffsets(size int) {
	offset := 0
	for i := range t.Registers {
		r := &t.Registers[i]
		r.Offset = -1
		if offset >= 0 && offset+r.bytes() <= size {
			r.Offset = offset
			offset += r.bytes()
		} else {
			offset = -1
		}
	}
}

func (r Register) bytes() int { return (r.Bits + 7) / 8 }

type targetParser struct {
	fetch  func(string) ([]byte, error)
	seen   map[string]bool
	target Target
	next   int // number of the next register without a regnum
}

// annex parses one document. A register's number is its regnum attribute or, without
// one, the previous register's plus one, across documents.
func (p *targetParser) annex(name string) error {
	if p.seen[name] {
		return fmt.Errorf("target description: %s is included twice", name)
	}
	if len(p.seen) == maxIncludes {
		return fmt.Errorf("target description: more than %d documents", maxIncludes)
	}
	p.seen[name] = true
	text, err := p.fetch(name)
	if err != nil {
		return err
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("target description: %s: %w", name, err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if err := p.element(d, start); err != nil {
			return err
		}
	}
}

func (p *targetParser) element(d *xml.Decoder, e xml.StartElement) error {
	switch e.Name.Local {
	case "architecture":
		if err := d.DecodeElement(&p.target.Architecture, &e); err != nil {
			return fmt.Errorf("target description: architecture: %w", err)
		}
		p.target.Architecture = strings.TrimSpace(p.target.Architecture)
	case "include":
		href := attribute(e, "href")
		if href == "" {
			return errors.New("target description: include without href")
		}
		return p.annex(href)
	case "reg":
		return p.register(e)
	}
	return nil
}

func (p *targetParser) register(e xml.StartElement) error {
	r := Register{
		Name:   attribute(e, "name"),
		Number: p.next,
		Offset: -1,
		Type:   attribute(e, "type"),
		Group:  attribute(e, "group"),
	}
	if r.Name == "" {
		return errors.New("target description: register without a name")
	}
	bits, err := strconv.Atoi(attribute(e, "bitsize"))
	if err != nil || bits < 1 || bits > maxBits {
		return fmt.Errorf("target description: register %s: bitsize %q is not in 1 to %d", r.Name, attribute(e, "bitsize"), maxBits)
	}
	r.Bits = bits
	if s := attribute(e, "regnum"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 1<<20 {
			return fmt.Errorf("target description: register %s: regnum %q is not in 0 to %d", r.Name, s, 1<<20)
		}
		r.Number = n
	}
	if len(p.target.Registers) == maxRegisters {
		return fmt.Errorf("target description: more than %d registers", maxRegisters)
	}
	p.next = r.Number + 1
	p.target.Registers = append(p.target.Registers, r)
	return nil
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
