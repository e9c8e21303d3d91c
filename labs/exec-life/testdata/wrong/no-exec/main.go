// Command no-exec is exec-life with a child that does the command's work itself
// and stays a copy of its parent.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	const command = "/tmp/hello"
	message := []byte("Hello from the new program.\n")

	pid, err := fork(message)
	if err != nil {
		fail("fork", err)
	}
	status, err := wait(pid)
	runtime.KeepAlive(message)
	if err != nil {
		fail("wait", err)
	}
	fmt.Printf("%s ended with status %d.\n", command, status.ExitStatus())
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// run is the child.
//
//go:nosplit
//go:norace
func run(message []byte) {
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 7, 0, 0)
	}
}

// fork returns the child's pid in the parent.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked for good.
// They are blocked per thread, and main keeps this goroutine on one.
//
//go:noinline
//go:norace
func fork(message []byte) (pid int, err error) {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		run(message)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// wait returns how the child ended, once it has.
func wait(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			return status, err
		}
	}
}
