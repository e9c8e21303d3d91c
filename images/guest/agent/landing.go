package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"kernellab/images/guest/wire"
)

// A guest that is saved has a file whose pages the host can find in the guest's
// memory and fill with a program before the copy runs: the guest then brings
// itself no program, which would be the longest thing that it does.

// landing is the file, made once. wire.LandingMap tells where its pages lie.
const landing = programs + "/.landing"

const pageSize = 4096

// makeLanding makes the file and its map. A kernel that does not tell where memory
// lies has none.
func makeLanding() error {
	f, err := os.OpenFile(landing, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(wire.LandingSize); err != nil {
		return err
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, wire.LandingSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", landing, err)
	}
	defer syscall.Munmap(m)
	for i := 0; i < len(m); i += pageSize {
		m[i] = 0 // which gives it a page
	}
	frames, err := frames(m)
	if err != nil {
		return os.Remove(landing)
	}
	var text strings.Builder
	for _, frame := range frames {
		fmt.Fprintf(&text, "%#x\n", frame*pageSize)
	}
	return os.WriteFile(wire.LandingMap, []byte(text.String()), 0o600)
}

// frames returns the numbers of the page frames of a mapping (the kernel's
// Documentation/admin-guide/mm/pagemap.rst).
func frames(m []byte) ([]uint64, error) {
	const present, number = 1 << 63, 1<<55 - 1
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries := make([]byte, len(m)/pageSize*8)
	if _, err := f.ReadAt(entries, int64(uintptr(unsafe.Pointer(&m[0]))/pageSize*8)); err != nil {
		return nil, err
	}
	var all []uint64
	for ; len(entries) > 0; entries = entries[8:] {
		e := binary.NativeEndian.Uint64(entries)
		if e&present == 0 || e&number == 0 {
			return nil, fmt.Errorf("page %d of %s: the kernel does not tell where it is", len(all), landing)
		}
		all = append(all, e&number)
	}
	return all, nil
}
