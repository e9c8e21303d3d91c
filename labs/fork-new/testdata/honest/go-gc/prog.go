// Collects garbage and lets the runtime work before, between and after.
package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

var child = []byte("This is Child Process!\n")

var kept [][]byte

func work() {
	for range 20 {
		kept = append(kept[:0], make([]byte, 1<<16), make([]byte, 1<<16))
		go runtime.Gosched()
	}
	runtime.GC()
	time.Sleep(time.Millisecond)
}

func main() {
	runtime.LockOSThread()
	work()
	pid, errno := fork()
	if errno != 0 {
		os.Exit(1)
	}
	work()
	os.Stdout.WriteString("This is Parent Process!\n")
	var status syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if got != pid || status != 0 {
			os.Exit(1)
		}
		break
	}
	work()
	os.Stdout.WriteString("Child Complete!\n")
}

//go:noinline
//go:norace
func fork() (pid int, errno syscall.Errno) {
	const setMask, maskSize = 2, 8
	var old uint64
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&child[0])), uintptr(len(child)))
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, maskSize, 0, 0)
	return int(r), errno
}
