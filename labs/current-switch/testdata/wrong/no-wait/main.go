// The byte is in the pipe before anybody reads.
//
// Command current-switch makes the kernel switch between two tasks in two ways: one waits
// for a byte in a pipe that the other writes, and then both compute until a tick takes the
// CPU from the one that has it.
//
// The child stays a copy of a Go program without the threads of Go's runtime: it may do
// nothing but raw system calls.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that waits, which no signal is to disturb.
	runtime.LockOSThread()
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	check("mmap", err)
	var pipe [2]int
	check("pipe", syscall.Pipe2(pipe[:], 0))
	_, err = syscall.Write(pipe[1], []byte{1}) // so that the parent need not wait
	check("write", err)
	sockets, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check("socketpair", err)
	patience := syscall.Timeval{Usec: 20_000}
	check("setsockopt", syscall.SetsockoptTimeval(sockets[0], syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &patience))
	pid, errno := play(pipe, sockets[0], (*[2]uint32)(unsafe.Pointer(&page[0])))
	if errno != 0 {
		check("clone", errno)
	}
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	check("wait4", err)
	fmt.Println("Both have had the CPU.")
}

// work is what the parent computes, in rounds of a loop.
const work = 2_000_000

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// play forks and returns in the parent, when both have played their parts.
//
//go:noinline
//go:norace
func play(pipe [2]int, socket int, flags *[2]uint32) (pid int, errno syscall.Errno) {
	var b byte
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if r == 0 {
		syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(socket), uintptr(unsafe.Pointer(&b)), 1, 0, 0, 0)
		syscall.RawSyscall(syscall.SYS_WRITE, uintptr(pipe[1]), uintptr(unsafe.Pointer(&b)), 1)
		for atomic.LoadUint32(&flags[0]) == 0 {
		}
		atomic.StoreUint32(&flags[1], 1)
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall(syscall.SYS_READ, uintptr(pipe[0]), uintptr(unsafe.Pointer(&b)), 1)
	for range work { // some ticks long, while the child computes too
		atomic.LoadUint32(&flags[1])
	}
	atomic.StoreUint32(&flags[0], 1)
	for atomic.LoadUint32(&flags[1]) == 0 {
	}
	return int(r), 0
}
