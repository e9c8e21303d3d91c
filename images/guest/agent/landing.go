package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"kernellab/images/guest/mailbox"
)

// landing is a file whose pages the host fills with a program while the guest
// stands still. The guest then need not bring itself a program, which would be the
// longest thing that it does.
const landing = programs + "/.landing"

// makeLanding makes the file and returns the physical addresses of its pages.
func makeLanding() ([]uint64, error) {
	f, err := os.OpenFile(landing, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o700)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(mailbox.LandingSize), f.Close()); err != nil {
		return nil, err
	}
	// What is mapped for writing cannot be executed.
	if f, err = os.Open(landing); err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, mailbox.LandingSize, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", landing, err)
	}
	// The mapping stays, and with it the lock on the pages.
	pages, err := pin(m)
	if err != nil {
		return nil, fmt.Errorf("find the pages of %s: %w", landing, err)
	}
	return pages, nil
}

// store appends the first size bytes of a file, the landing, to an executable one. It copies in user
// mode: write(2) takes an emulated riscv64 ten times as long, for which QEMU
// forgets all translated addresses whenever the kernel reaches for a user's memory
// (write_mstatus in target/riscv/csr.c, for SUM).
func store(landing, path string, size int) error {
	if size <= 0 || size > mailbox.LandingSize {
		return fmt.Errorf("store %d bytes, want 1 to %d", size, mailbox.LandingSize)
	}
	from, err := os.Open(landing)
	if err != nil {
		return err
	}
	defer from.Close()
	source, err := syscall.Mmap(int(from.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", landing, err)
	}
	defer syscall.Munmap(source)
	to, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	defer to.Close()
	info, err := to.Stat()
	if err != nil {
		return err
	}
	old := info.Size()
	if err := to.Truncate(old + int64(size)); err != nil {
		return err
	}
	m, err := syscall.Mmap(int(to.Fd()), 0, int(old)+size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	copy(m[old:], source)
	return syscall.Munmap(m)
}
