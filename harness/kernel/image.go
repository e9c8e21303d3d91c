// Package kernel reads a stock kernel image, without debug packages.
//
// It unpacks the image (bzImage, ELF vmlinux, RISC-V Image, EFI zboot, and the
// compressions kernels are built with), recovers the kallsyms tables, reads the
// BTF types, resolves logical points to symbols of this kernel (the table is
// points.yaml), unwinds stacks, and writes a symbol file for gdb. With a vmlinux it
// also resolves points to inlined functions and finds source lines and variables.
//
// It supports x86_64 and riscv64. It does not read a guest's memory and does not
// support a relocated kernel: addresses are link addresses, so boot with nokaslr.
//
// Formats: the kernel's Documentation/arch/x86/boot.rst and
// Documentation/arch/riscv/boot-image-header.rst, scripts/kallsyms.c,
// Documentation/bpf/btf.rst, arch/x86/include/asm/orc_types.h, and for the call
// frame information DWARF version 4, section 6.4.
package kernel

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/cilium/ebpf/btf"

	"kernellab/harness/kernel/debuginfo"
	"kernellab/internal/regular"
)

// Image is an unpacked kernel image. It is safe for concurrent use.
type Image struct {
	Arch    string // "x86_64" or "riscv64", from the image itself
	Release string // uname -r, from the "Linux version" banner
	Banner  string // the banner, without its newline
	SHA256  string // of the packed file, hex
	BuildID string // hex; empty when the image has no build id note
	Symbols *Symbols

	debug *debuginfo.File // nil without a vmlinux

	machine machine
	kept    string // the file that flat is mapped from, "" when it is in memory
	flat    []byte // the unpacked file
	segs    []segment
	marks   map[string]uint64 // addresses of a few linker marks

	typesOnce sync.Once
	types     *btf.Spec
	typesErr  error
	queries   queryCache

	resolveLock sync.Mutex
	resolutions map[string]Resolved

	frameLock sync.Mutex
	frameInfo map[uint64]frameInfo // by the start of the function
	orcOnce   sync.Once
	orc       orcTables
	orcErr    error
}

// segment is a part of the unpacked file and its link address.
type segment struct {
	addr uint64
	off  uint64
	data []byte
}

// Open reads and parses the image at path.
func Open(path string) (*Image, error) {
	data, err := regular.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("open kernel image: %w", err)
	}
	im, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("kernel image %s: %w", path, err)
	}
	return im, nil
}

// Parse reads an image. The error is a *FormatError if data is damaged or not a
// kernel image. If data is not packed, Image refers to it.
func Parse(data []byte) (*Image, error) {
	sum := make(chan [sha256.Size]byte, 1)
	go func() { sum <- sha256.Sum256(data) }()
	im, err := parse(data)
	digest := <-sum
	if err != nil {
		return nil, err
	}
	im.SHA256 = hex.EncodeToString(digest[:])
	return im, nil
}

func parse(data []byte) (*Image, error) {
	im, err := readSegments(data)
	if err == nil {
		err = im.search()
	}
	if err != nil {
		return nil, err
	}
	return im, nil
}

// readSegments unpacks an image and reads its segments.
func readSegments(data []byte) (*Image, error) {
	flat, err := unpack(data)
	if err != nil {
		return nil, err
	}
	im := &Image{flat: flat}
	read := im.readRISCV
	if bytes.HasPrefix(flat, []byte(elf.ELFMAG)) {
		read = im.readELF
	}
	if err := read(); err != nil {
		return nil, err
	}
	im.Arch = im.machine.name
	return im, nil
}

// search finds the banner, the symbols and the build id, which no header points at.
func (im *Image) search() (err error) {
	if im.Banner, im.Release, err = findBanner(im.flat); err != nil {
		return err
	}
	if im.Symbols, err = im.recoverSymbols(); err != nil {
		return err
	}
	im.setBanner()
	if im.BuildID == "" {
		im.BuildID = im.noteBuildID()
	}
	return nil
}

const bannerPrefix = "Linux version "

// findBanner finds a banner that contains the release. There may be two banners: the
// weak one of init/version.c remains in the image with init/version-timestamp.c's.
func findBanner(flat []byte) (banner, release string, err error) {
	for rest := flat; ; {
		i := bytes.Index(rest, []byte(bannerPrefix))
		if i < 0 {
			return "", "", notKernel("image", `it has no "Linux version" banner; is it a Linux kernel?`)
		}
		rest = rest[i:]
		if banner, release, ok := readBanner(rest); ok {
			return banner, release, nil
		}
		rest = rest[len(bannerPrefix):]
	}
}

func readBanner(b []byte) (banner, release string, ok bool) {
	line := b[:min(len(b), 1024)]
	end := bytes.IndexAny(line, "\n\x00")
	if end <= len(bannerPrefix) || line[len(bannerPrefix)] < '0' || line[len(bannerPrefix)] > '9' {
		return "", "", false
	}
	words := bytes.Fields(line[len(bannerPrefix):end])
	if len(words) < 2 || words[1][0] != '(' {
		return "", "", false
	}
	return string(line[:end]), string(words[0]), true
}

// setBanner replaces the banner that findBanner found by the one that the kernel
// prints.
func (im *Image) setBanner() {
	addr, ok := im.marks["linux_banner"]
	if !ok {
		return
	}
	const longest = 1024
	b, ok := im.at(addr, longest)
	if !ok {
		return
	}
	if banner, release, ok := readBanner(b); ok {
		im.Banner, im.Release = banner, release
	}
}

// Text returns n bytes of the image at a link address. The error wraps a
// *RangeError when the image has no bytes there (.bss, per-CPU areas, modules).
func (im *Image) Text(addr uint64, n int) ([]byte, error) {
	b, ok := im.at(addr, n)
	if !ok {
		return nil, &RangeError{Addr: addr, Len: n, Low: im.segs[0].addr, High: im.high()}
	}
	return bytes.Clone(b), nil
}

// RangeError is returned for an address outside the image.
type RangeError struct {
	Addr      uint64
	Len       int
	Low, High uint64 // bounds of the image, which may have gaps
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("the image does not have %d bytes at %#x; it covers %#x to %#x", e.Len, e.Addr, e.Low, e.High)
}

func (im *Image) high() uint64 {
	var h uint64
	for _, s := range im.segs {
		h = max(h, s.addr+uint64(len(s.data)))
	}
	return h
}

// at returns bytes of the image without copying.
func (im *Image) at(addr uint64, n int) ([]byte, bool) {
	if n < 0 {
		return nil, false
	}
	for _, s := range im.segs {
		if off := addr - s.addr; addr >= s.addr && off <= uint64(len(s.data)) && uint64(n) <= uint64(len(s.data))-off {
			return s.data[off : off+uint64(n) : off+uint64(n)], true
		}
	}
	return nil, false
}

// vaddr converts an offset in the unpacked file to a link address.
func (im *Image) vaddr(off uint64) (uint64, bool) {
	for _, s := range im.segs {
		if off >= s.off && off-s.off < uint64(len(s.data)) {
			return s.addr + off - s.off, true
		}
	}
	return 0, false
}

// between returns the bytes between two symbols, such as __start_BTF and
// __stop_BTF.
func (im *Image) between(start, stop string) ([]byte, bool) {
	a, ok := im.marks[start]
	b, ok2 := im.marks[stop]
	if !ok || !ok2 || b < a || b-a > uint64(len(im.flat)) {
		return nil, false
	}
	return im.at(a, int(b-a))
}

// noteBuildID reads the GNU build id from the kernel's notes.
func (im *Image) noteBuildID() string {
	notes, ok := im.between("__start_notes", "__stop_notes")
	if !ok {
		return ""
	}
	return debuginfo.NoteID(notes)
}
