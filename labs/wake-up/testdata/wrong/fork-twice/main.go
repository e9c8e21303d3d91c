// A program that makes two processes.
package main

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	// Memory that both have: the child sees here that its parent is back.
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
	if err != nil {
		fail("mmap", err)
	}
	back := (*uint32)(unsafe.Pointer(&page[0]))
	pid, errno := fork([]byte("The child runs.\n"), back)
	if errno != 0 {
		fail("fork", errno)
	}
	atomic.StoreUint32(back, 1)
	again, errno := fork([]byte("The child runs.\n"), back)
	if errno != 0 {
		fail("fork", errno)
	}
	if _, err = syscall.Wait4(again, nil, 0, nil); err != nil {
		fail("wait", err)
	}
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		fail("wait", err)
	}
	os.Stdout.WriteString("The child has ended.\n")
	os.Exit(status.ExitStatus())
}

func fail(what string, err error) {
	os.Stderr.WriteString(what + ": " + err.Error() + "\n")
	os.Exit(1)
}

// fork returns the child's pid in the parent. The child waits for back, prints
// its message and ends in here. Signals are blocked meanwhile, lest one of Go's
// runtime makes the kernel start the call again.
//
//go:noinline
//go:norace
func fork(message []byte, back *uint32) (pid int, errno syscall.Errno) {
	text, size := uintptr(unsafe.Pointer(&message[0])), uintptr(len(message))
	var old uint64
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		for atomic.LoadUint32(back) == 0 {
			syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		}
		syscall.RawSyscall(syscall.SYS_WRITE, 1, text, size)
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, maskSize, 0, 0)
	runtime.KeepAlive(message)
	return int(r), errno
}
