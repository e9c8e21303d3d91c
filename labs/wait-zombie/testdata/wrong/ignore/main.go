// Command ignore is wait-zombie with SIGCHLD ignored: the kernel then frees a
// child as soon as it has ended, and there is nothing to wait for.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	signal.Ignore(syscall.SIGCHLD)

	first, err := fork(exitWith, 5)
	if err != nil {
		fail("fork", err)
	}
	gone(first)
	fmt.Println("SIGCHLD: the first child has ended.")
	fmt.Println("Its state before the wait: Z")
	if _, err := wait(first); err != syscall.ECHILD {
		fail("wait", err)
	}
	fmt.Println("The wait returned its exit status: 5")
	fmt.Println("Its state after the wait:", state(first))

	second, err := fork(exitWith, 6)
	if err != nil {
		fail("fork", err)
	}
	gone(second)
	fmt.Println("SIGCHLD: the second child has ended.")
	fmt.Println("Its state, with no wait: Z")
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// state returns the letter that ps shows for a process, "none" when there is no
// such process. It is the field after the name, which stands in parentheses.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "none"
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	letter, _, _ := strings.Cut(after, " ")
	return letter
}

// gone returns when a child has ended and the kernel has freed it.
func gone(pid int) {
	for state(pid) != "none" {
		time.Sleep(10 * time.Millisecond)
	}
}

// exitWith is a child.
//
//go:nosplit
//go:norace
func exitWith(status uintptr) {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// fork returns the child's pid in the parent. The child does what it is told and
// never returns from it.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked for good.
// They are blocked per thread, and main keeps this goroutine on one.
//
//go:noinline
//go:norace
func fork(child func(uintptr), arg uintptr) (pid int, err error) {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		child(arg)
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
