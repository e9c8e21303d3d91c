package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"kernellab/images/guest/mailbox"
)

// post is the agent's mailbox: memory that the host reads and writes while the
// guest stands still.
type post struct {
	memory    []byte
	directory uint64 // its physical address
}

const pageSize = mailbox.PageSize

func openMailbox() (*post, error) {
	const private = syscall.MAP_PRIVATE | syscall.MAP_ANONYMOUS
	m, err := syscall.Mmap(-1, 0, (1+mailbox.Pages)*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, private)
	if err != nil {
		return nil, fmt.Errorf("map the mailbox: %w", err)
	}
	// A child that shared the pages would make the agent write to copies of them.
	if err := syscall.Madvise(m, syscall.MADV_DONTFORK); err != nil {
		return nil, fmt.Errorf("keep the mailbox from children: %w", err)
	}
	pages, err := pin(m)
	if err != nil {
		return nil, fmt.Errorf("find the mailbox: %w", err)
	}
	copy(m, mailbox.Directory(pages[1:]))
	return &post{memory: m[pageSize:], directory: pages[0]}, nil
}

// exchange hands the host a message and returns the host's, which is valid until
// the next exchange.
func (p *post) exchange(r *mailbox.Reply, blob []byte) (mailbox.Request, error) {
	var next mailbox.Request
	if err := mailbox.Put(p.memory, mailbox.Join(r, blob)); err != nil {
		return next, err
	}
	// The host's debugger stops the guest at the entry of this call.
	syscall.RawSyscall(syscall.SYS_SETHOSTNAME, uintptr(p.directory), ^uintptr(0), 0)
	msg, err := mailbox.Take(p.memory)
	if err != nil {
		return next, err
	}
	_, err = mailbox.Split(msg, &next)
	return next, err
}

// pin gives a mapping its pages and keeps them where they are (mlock(2); see
// confine), and returns their physical addresses.
func pin(m []byte) ([]uint64, error) {
	if err := syscall.Mlock(m); err != nil {
		return nil, fmt.Errorf("lock %d bytes of memory: %w", len(m), err)
	}
	return frames(m)
}

// frames returns the physical addresses of the pages of a mapping (the kernel's
// Documentation/admin-guide/mm/pagemap.rst).
func frames(m []byte) ([]uint64, error) {
	f, err := os.Open("/proc/self/pagemap")
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w; the kernel needs CONFIG_PROC_PAGE_MONITOR", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries := make([]byte, len(m)/pageSize*8)
	if _, err := f.ReadAt(entries, int64(uintptr(unsafe.Pointer(&m[0]))/pageSize*8)); err != nil {
		return nil, err
	}
	return addresses(entries)
}

// addresses reads entries of a page map.
func addresses(entries []byte) ([]uint64, error) {
	const present, number = 1 << 63, 1<<55 - 1
	var all []uint64
	for ; len(entries) > 0; entries = entries[8:] {
		e := binary.NativeEndian.Uint64(entries)
		if e&present == 0 || e&number == 0 {
			return nil, fmt.Errorf("/proc/self/pagemap does not say where page %d is", len(all))
		}
		all = append(all, e&number*pageSize)
	}
	return all, nil
}
