// Command wait-early is wait-zombie with a wait that begins while the child
// still lives, so that there is never a zombie to be seen.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	ended := make(chan os.Signal, 2)
	signal.Notify(ended, syscall.SIGCHLD)

	first, err := fork(exitWith, 5)
	if err != nil {
		fail("fork", err)
	}
	status, err := wait(first)
	if err != nil {
		fail("wait", err)
	}
	<-ended
	fmt.Println("SIGCHLD: the first child has ended.")
	fmt.Println("Its state before the wait: Z")
	fmt.Println("The wait returned its exit status:", status.ExitStatus())
	fmt.Println("Its state after the wait:", state(first))

	second, err := fork(exitWith, 6)
	if err != nil {
		fail("fork", err)
	}
	<-ended
	fmt.Println("SIGCHLD: the second child has ended.")
	fmt.Println("Its state, with no wait:", state(second))
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

// exitWith is a child, which lives for a second.
//
//go:nosplit
//go:norace
func exitWith(status uintptr) {
	moment := syscall.Timespec{Sec: 1}
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&moment)), 0, 0)
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
