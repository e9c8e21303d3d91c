package kernel

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strings"

	"github.com/go-delve/delve/pkg/dwarf/regnum"

	"kernellab/harness/kernel/debuginfo"
)

// machine has the facts about an architecture that only this package needs, for
// reading and unwinding its code. Package arch has the others. Register numbers are
// DWARF's.
type machine struct {
	name       string // arch.Arch.Name
	elf        elf.Machine
	elfFlags   uint32
	codeAlign  uint64 // instructions start at multiples of this
	sp, fp, ra uint64 // stack pointer, frame pointer, return address column
	// nops are nops at the start of functions that precede their debug information.
	nops       [][]byte
	frames     func(*Image, span) ([]frameRange, error)
	regName    func(uint64) string    // gdb's name of a register
	endsInCall func(code []byte) bool // see Image.EndsInCall
}

func machines() []machine {
	return []machine{
		{
			name: "x86_64", elf: elf.EM_X86_64, codeAlign: 1,
			sp: regnum.AMD64_Rsp, fp: regnum.AMD64_Rbp, ra: regnum.AMD64_Rip,
			frames:     (*Image).orcFrames,
			regName:    func(n uint64) string { return strings.ToLower(regnum.AMD64ToName(n)) },
			endsInCall: x86EndsInCall,
		},
		{
			// EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE: gdb chooses the
			// instruction set by them.
			name: "riscv64", elf: elf.EM_RISCV, elfFlags: 0x5, codeAlign: 2,
			sp: regnum.RISCV64_SP, fp: regnum.RISCV64_S0, ra: regnum.RISCV64_LR,
			nops:       [][]byte{{0x01, 0x00}, {0x13, 0x00, 0x00, 0x00}}, // c.nop, nop
			frames:     (*Image).riscvFrames,
			regName:    riscvRegName,
			endsInCall: riscvEndsInCall,
		},
	}
}

func (im *Image) readELF() error {
	f, err := elf.NewFile(bytes.NewReader(im.flat))
	if err != nil {
		return &FormatError{Layer: "ELF", Reason: "its headers are damaged; fetch it again", Err: ErrTruncated}
	}
	defer f.Close()
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return notKernel("ELF", "it is %s %s, but only 64-bit little-endian kernels are supported", f.Class, f.Data)
	}
	for _, m := range machines() {
		if m.elf == f.Machine {
			im.machine = m
		}
	}
	if im.machine.name == "" {
		return notKernel("ELF", "it is for %s, but only x86_64 and riscv64 are supported", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE && p.Off < uint64(len(im.flat)) {
			n := min(p.Filesz, uint64(len(im.flat))-p.Off)
			if id := debuginfo.NoteID(im.flat[p.Off : p.Off+n]); id != "" {
				im.BuildID = id
			}
		}
		if p.Type != elf.PT_LOAD || p.Filesz == 0 {
			continue
		}
		if p.Off > uint64(len(im.flat)) || p.Filesz > uint64(len(im.flat))-p.Off {
			return truncated("ELF", "a segment covers bytes %d to %d, but the file has %d; fetch it again", p.Off, p.Off+p.Filesz, len(im.flat))
		}
		im.segs = append(im.segs, segment{p.Vaddr, p.Off, im.flat[p.Off : p.Off+p.Filesz]})
	}
	if len(im.segs) == 0 {
		return notKernel("ELF", "it has no loadable segment; give a vmlinux, not an object file")
	}
	return nil
}

// Offsets in the RISC-V image header:
// Documentation/arch/riscv/boot-image-header.rst.
const (
	riscvImageSize = 0x10
	riscvMagic     = 0x30
	riscvMagic2    = 0x38
)

// riscvLinkBase is KERNEL_LINK_ADDR for 64-bit kernels, which is the last 2 GB of the
// address space (arch/riscv/include/asm/pgtable.h). It is the address of the file's
// first byte, as objcopy keeps the distances between sections.
const riscvLinkBase = 0xffffffff80000000

func isRISCVImage(data []byte) bool {
	return len(data) >= 64 && string(data[riscvMagic2:riscvMagic2+4]) == "RSC\x05" &&
		string(data[riscvMagic:riscvMagic+5]) == "RISCV"
}

func (im *Image) readRISCV() error {
	for _, m := range machines() {
		if m.elf == elf.EM_RISCV {
			im.machine = m
		}
	}
	size := le.Uint64(im.flat[riscvImageSize:])
	// The size in the header includes .bss, which the file lacks. A file of less
	// than half that size is truncated.
	if size/2 > uint64(len(im.flat)) {
		return truncated("RISC-V Image", "by its header the kernel uses %d bytes of memory, but the file has %d; fetch it again", size, len(im.flat))
	}
	im.segs = []segment{{riscvLinkBase, 0, im.flat}}
	return nil
}

// riscvRegName returns the ABI name that gdb and QEMU's target description use (fp,
// not s0), unlike delve's table.
func riscvRegName(n uint64) string {
	switch {
	case n == regnum.RISCV64_X0:
		return "zero"
	case n == regnum.RISCV64_LR:
		return "ra"
	case n == regnum.RISCV64_SP:
		return "sp"
	case n == regnum.RISCV64_GP:
		return "gp"
	case n == regnum.RISCV64_TP:
		return "tp"
	case n >= regnum.RISCV64_T0 && n <= regnum.RISCV64_T2:
		return fmt.Sprintf("t%d", n-regnum.RISCV64_T0)
	case n == regnum.RISCV64_S0:
		return "fp"
	case n == regnum.RISCV64_S1:
		return "s1"
	case n >= regnum.RISCV64_A0 && n <= regnum.RISCV64_A7:
		return fmt.Sprintf("a%d", n-regnum.RISCV64_A0)
	case n >= regnum.RISCV64_S2 && n <= regnum.RISCV64_S11:
		return fmt.Sprintf("s%d", n-regnum.RISCV64_S2+2)
	case n >= regnum.RISCV64_T3 && n <= regnum.RISCV64_T6:
		return fmt.Sprintf("t%d", n-regnum.RISCV64_T3+3)
	}
	return strings.ToLower(regnum.RISCV64ToName(n))
}
