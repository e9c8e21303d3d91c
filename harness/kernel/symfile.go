package kernel

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// WriteSymbolFile writes an ELF file that gdb can use as this kernel's symbol file.
// It has a .symtab of functions and data, sections at their link addresses without
// contents (gdb reads the guest's memory), and a .debug_frame, so that backtraces work
// in a kernel without frame pointers.
//
// It leaves out the symbols of padding before functions.
func (im *Image) WriteSymbolFile(w io.Writer) error {
	cfi, err := im.debugFrame(everything())
	if err != nil {
		return fmt.Errorf("write symbol file: %w", err)
	}
	f := elfFile{im: im, strtab: bytes.NewBuffer([]byte{0})}
	f.regions()
	f.symbols()
	bw := bufio.NewWriterSize(w, 1<<20)
	if err := f.write(bw, cfi); err != nil {
		return fmt.Errorf("write symbol file: %w", err)
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("write symbol file: %w", err)
	}
	return nil
}

// elfFile collects the contents of the file.
type elfFile struct {
	im       *Image
	sections []elfRegion
	order    []int32 // symbols by address
	syms     []elf.Sym64
	locals   int // local symbols, the null symbol included
	strtab   *bytes.Buffer
}

// elfRegion is a section of the kernel, all code or all data.
type elfRegion struct {
	start, end uint64
	code       bool
}

// regions derives the kernel's sections from consecutive code and data symbols.
func (f *elfFile) regions() {
	s := f.im.Symbols
	s.addrOnce.Do(s.indexAddrs)
	for _, i := range s.sorted {
		if s.addrs[i] >= kernelHalf {
			f.order = append(f.order, i)
		}
	}
	for _, i := range f.order {
		addr, last := s.addrs[i], len(f.sections)-1
		code, known := symbolKind(s.types[i])
		if last >= 0 {
			f.sections[last].end = addr
		}
		switch {
		case last < 0:
			f.sections = append(f.sections, elfRegion{addr, addr, code})
		case known && code != f.sections[last].code:
			f.sections = append(f.sections, elfRegion{addr, addr, code})
		}
	}
	f.sections = slices.DeleteFunc(f.sections, func(r elfRegion) bool { return r.start == r.end })
}

// symbolKind reports whether a symbol's letter means code. It is known to mean code
// or data if known is set.
func symbolKind(t byte) (code, known bool) {
	switch t {
	case 't', 'T':
		return true, true
	case 'd', 'D', 'b', 'B', 'r', 'R':
		return false, true
	}
	return false, false
}

func (f *elfFile) section(addr uint64) int {
	i := sort.Search(len(f.sections), func(i int) bool { return f.sections[i].end > addr })
	if i < len(f.sections) && addr >= f.sections[i].start {
		return i
	}
	return len(f.sections) - 1 // the end of the last one
}

// symbols makes the symbol table, locals first.
func (f *elfFile) symbols() {
	s := f.im.Symbols
	var globals []elf.Sym64
	f.syms = []elf.Sym64{{}}
	for n, i := range f.order {
		name := s.name(int(i))
		if isPadding(name) || name == "" {
			continue
		}
		addr := s.addrs[i]
		sec := f.section(addr)
		if sec < 0 {
			continue
		}
		size := uint64(0)
		for _, j := range f.order[n+1:] {
			if s.addrs[j] > addr {
				size = min(s.addrs[j], max(f.sections[sec].end, addr)) - addr
				break
			}
		}
		sym := elf.Sym64{Name: uint32(f.strtab.Len()), Shndx: uint16(sec + 1), Value: addr, Size: size}
		f.strtab.WriteString(name)
		f.strtab.WriteByte(0)
		bind, kind := elf.STB_LOCAL, elf.STT_NOTYPE
		switch t := s.types[i]; {
		case isText(t):
			kind = elf.STT_FUNC
		case strings.IndexByte("dDbBrRvV", t) >= 0:
			kind = elf.STT_OBJECT
		}
		switch t := s.types[i]; {
		case t == 'w' || t == 'W' || t == 'v' || t == 'V':
			bind = elf.STB_WEAK
		case t >= 'A' && t <= 'Z':
			bind = elf.STB_GLOBAL
		}
		if isBoundary(name) {
			// Make gdb prefer the function at the same address.
			kind, sym.Size = elf.STT_NOTYPE, 0
		}
		sym.Info = elf.ST_INFO(bind, kind)
		if bind == elf.STB_LOCAL {
			f.syms = append(f.syms, sym)
		} else {
			globals = append(globals, sym)
		}
	}
	f.perCPU()
	f.locals = len(f.syms)
	f.syms = append(f.syms, globals...)
}

// perCPU adds x86_64's per-CPU variables, if kallsyms has them as offsets from the
// per-CPU base. They become absolute symbols, so that &current_task is the offset.
func (f *elfFile) perCPU() {
	s := f.im.Symbols
	for i, addr := range s.addrs {
		if name := s.name(i); addr < kernelHalf && name != "" {
			f.syms = append(f.syms, elf.Sym64{
				Name: uint32(f.strtab.Len()), Value: addr, Shndx: uint16(elf.SHN_ABS),
				Info: elf.ST_INFO(elf.STB_LOCAL, elf.STT_NOTYPE),
			})
			f.strtab.WriteString(name + "\x00")
		}
	}
}

const (
	ehdrSize = 64
	shdrSize = 64
	symSize  = 24
)

func (f *elfFile) write(w io.Writer, cfi []byte) error {
	names := bytes.NewBuffer([]byte{0})
	name := func(s string) uint32 {
		off := names.Len()
		names.WriteString(s + "\x00")
		return uint32(off)
	}
	headers := []elf.Section64{{}}
	count := map[bool]int{}
	for _, r := range f.sections {
		label, flags := ".data", elf.SHF_ALLOC|elf.SHF_WRITE
		if r.code {
			label, flags = ".text", elf.SHF_ALLOC|elf.SHF_EXECINSTR
		}
		if n := count[r.code]; n > 0 {
			label += fmt.Sprintf(".%d", n)
		}
		count[r.code]++
		headers = append(headers, elf.Section64{
			Name: name(label), Type: uint32(elf.SHT_NOBITS), Flags: uint64(flags),
			Addr: r.start, Off: ehdrSize, Size: r.end - r.start, Addralign: 1,
		})
	}
	at := uint64(ehdrSize)
	add := func(h elf.Section64) {
		at = (at + 7) &^ 7
		h.Off = at
		at += h.Size
		headers = append(headers, h)
	}
	add(elf.Section64{Name: name(".debug_frame"), Type: uint32(elf.SHT_PROGBITS), Size: uint64(len(cfi)), Addralign: 8})
	add(elf.Section64{Name: name(".symtab"), Type: uint32(elf.SHT_SYMTAB), Size: uint64(len(f.syms) * symSize),
		Link: uint32(len(headers) + 1), Info: uint32(f.locals), Addralign: 8, Entsize: symSize})
	add(elf.Section64{Name: name(".strtab"), Type: uint32(elf.SHT_STRTAB), Size: uint64(f.strtab.Len()), Addralign: 1})
	label := name(".shstrtab")
	add(elf.Section64{Name: label, Type: uint32(elf.SHT_STRTAB), Size: uint64(names.Len()), Addralign: 1})
	shoff := (at + 7) &^ 7

	head := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(f.im.machine.elf), Version: uint32(elf.EV_CURRENT),
		Flags: f.im.machine.elfFlags, Ehsize: ehdrSize, Shoff: shoff, Shentsize: shdrSize,
		Shnum: uint16(len(headers)), Shstrndx: uint16(len(headers) - 1),
	}
	pos := uint64(0)
	put := func(v any) error {
		pad := (8 - pos%8) % 8
		if _, err := w.Write(make([]byte, pad)); err != nil {
			return err
		}
		pos += pad + uint64(binary.Size(v))
		return binary.Write(w, le, v)
	}
	for _, v := range []any{head, cfi, f.syms, f.strtab.Bytes(), names.Bytes(), headers} {
		if err := put(v); err != nil {
			return err
		}
	}
	return nil
}
