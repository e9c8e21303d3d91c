// Command fork-new makes a process with the plain fork call of Linux: clone with
// no flag but the signal that tells the parent of the child's end.
//
// Go's own os.StartProcess would exec another program at once. Here the child
// stays a copy of its parent, so it is a copy of a Go program without the
// threads of Go's runtime: it may do nothing but raw system calls.
package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	child := []byte("This is Child Process!\n")
	flags := uintptr(syscall.SIGCHLD)
	if slices.Contains(os.Args[1:], "share-files") { // lab run fork-new --what-if
		flags |= syscall.CLONE_FILES
	}
	ends := exitStatus()
	pid, errno := fork(child, flags, uintptr(ends))
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
	if status.ExitStatus() != ends {
		os.Exit(1)
	}
}

// exitStatus returns the child's exit status: that of a student's task, which is an
// argument, or the lab's own.
func exitStatus() int {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, "exit_status="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return 0
}

// fork returns the child's pid in the parent. The child prints its message and
// ends in here, with the status.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked until the parent is back.
// They are blocked per thread, and main keeps this goroutine on one.
//
//go:noinline
//go:norace
func fork(message []byte, flags, status uintptr) (pid int, errno syscall.Errno) {
	text, size := uintptr(unsafe.Pointer(&message[0])), uintptr(len(message))
	var old uint64
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, 1, text, size)
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
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
