// Command wake-up makes a process by the plain fork call and lets it run for as
// long as it takes the kernel to be back from waking it.
//
// The child spins until its parent's call has returned, so that it can run at
// any time in between and is never seen asleep or dead. It is a copy of a Go
// program without the threads of Go's runtime: it may do nothing but raw system
// calls.
package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	if nice := task("nice", 0); nice != 0 {
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, nice); err != nil {
			fail("setpriority", err)
		}
	}
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

// task returns a value of a student's task, which is an argument NAME=VALUE, or the lab's
// own.
func task(name string, own int) int {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, name+"="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return own
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
