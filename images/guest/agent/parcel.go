package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kernellab/images/guest/wire"
)

// parcel is the memory of a PCI device that the host fills with a program before
// the machine starts, or starts again from a snapshot: what lies there may have
// changed since it was opened. Only root can open it.
type parcel struct {
	memory []byte
	err    error // why there is none
}

// The device is QEMU's shared memory, docs/specs/ivshmem-spec.txt: its second
// BAR is the memory.
const (
	parcelVendor = "0x1af4"
	parcelDevice = "0x1110"
	parcelBAR    = "resource2"
)

// openParcel finds the device and maps its memory. A guest without it has no use
// for it until someone asks.
func openParcel() parcel {
	folders, err := filepath.Glob("/sys/bus/pci/devices/*")
	if err != nil {
		return parcel{err: err}
	}
	for _, dir := range folders {
		if !says(dir, "vendor", parcelVendor) || !says(dir, "device", parcelDevice) {
			continue
		}
		// No driver has switched its memory on.
		if err := os.WriteFile(filepath.Join(dir, "enable"), []byte("1"), 0); err != nil {
			return parcel{err: err}
		}
		f, err := os.OpenFile(filepath.Join(dir, parcelBAR), os.O_RDWR, 0)
		if err != nil {
			return parcel{err: err}
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return parcel{err: err}
		}
		m, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			return parcel{err: fmt.Errorf("map %s: %w", f.Name(), err)}
		}
		return parcel{memory: m}
	}
	return parcel{err: errors.New("the machine has no device for a parcel")}
}

func says(dir, name, want string) bool {
	b, err := os.ReadFile(filepath.Join(dir, name))
	return err == nil && strings.TrimSpace(string(b)) == want
}

// put makes an executable file of the first bytes.
func (p parcel) put(r wire.Request) error {
	switch {
	case p.err != nil:
		return p.err
	case r.Size <= 0 || r.Size > len(p.memory):
		return fmt.Errorf("parcel of %d bytes, want 1 to %d", r.Size, len(p.memory))
	}
	program := p.memory[:r.Size]
	if sum := wire.Sum(program); sum != r.Sum {
		return fmt.Errorf("checksum of the parcel is %#x, want %#x", sum, r.Sum)
	}
	// A name of its own first: what stands there may be running.
	temp := r.Path + ".new"
	if err := fill(temp, program); err != nil {
		return err
	}
	return os.Rename(temp, r.Path)
}

// fill makes an executable file. It copies in user mode: write(2) takes an emulated
// riscv64 ten times as long, for which QEMU forgets all translated addresses
// whenever the kernel reaches for a user's memory (write_mstatus in
// target/riscv/csr.c, for SUM).
func fill(path string, program []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(len(program))); err != nil {
		return err
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, len(program), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	copy(m, program)
	return syscall.Munmap(m)
}
