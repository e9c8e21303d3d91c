// Runs another program with os/exec after the lab's fork, which makes a process in another way.
package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"
)

var child = []byte("This is Child Process!\n")

func main() {
	runtime.LockOSThread()
	if len(os.Args) > 1 {
		return
	}
	other := func() { exec.Command("/proc/self/exe", "again").Run() }
	other()
	pid, errno := fork()
	if errno != 0 {
		os.Exit(1)
	}
	other()
	os.Stdout.WriteString("This is Parent Process!\n")
	var status syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &status, 0, nil); err != nil || got != pid || status != 0 {
		os.Exit(1)
	}
	other()
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
