// Command crash-child is fork-new with a child that a segmentation fault ends.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	child := []byte("This is Child Process!\n")
	pid, errno := fork(child, nil)
	if errno != 0 {
		os.Stderr.WriteString("fork: " + errno.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("This is Parent Process!\n")
	var status syscall.WaitStatus
	if _, err := wait(pid, &status); err != nil {
		os.Stderr.WriteString("wait: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("Child Complete!\n")
}

// fork returns the child's pid in the parent. The child reads through a nil
// pointer before it can print its message.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked until the parent is back.
// The thread must stay the same meanwhile, for signals are blocked per thread.
//
//go:noinline
//go:norace
func fork(message []byte, nowhere *byte) (pid int, errno syscall.Errno) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	text, size := uintptr(unsafe.Pointer(&message[0])), uintptr(len(message))
	var old uint64
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		// The signal is blocked, so the fault ends the child.
		text += uintptr(*nowhere)
		syscall.RawSyscall(syscall.SYS_WRITE, 1, text, size)
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, maskSize, 0, 0)
	runtime.KeepAlive(message)
	return int(r), errno
}

// wait returns when the child has ended.
func wait(pid int, status *syscall.WaitStatus) (int, error) {
	for {
		got, err := syscall.Wait4(pid, status, 0, nil)
		if err != syscall.EINTR {
			return got, err
		}
	}
}
