// Command wait-zombie makes two processes that end at once. It waits for the
// first and looks at it before and after; it never waits for the second.
//
// The children stay copies of a Go program without the threads of Go's runtime:
// they may do nothing but raw system calls.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	ended := make(chan os.Signal, 2)
	ignored := slices.Contains(os.Args[1:], "ignore-sigchld") // lab run wait-zombie --what-if
	if ignored {
		signal.Ignore(syscall.SIGCHLD)
	} else {
		signal.Notify(ended, syscall.SIGCHLD)
	}

	first, err := fork(exitWith, uintptr(exitStatus()))
	if err != nil {
		fail("fork", err)
	}
	if ignored {
		await(first)
		fmt.Println("No SIGCHLD: the first child has ended.")
	} else {
		<-ended
		fmt.Println("SIGCHLD: the first child has ended.")
	}
	fmt.Println("Its state before the wait:", state(first))
	status, err := wait(first)
	switch {
	case err == nil:
		fmt.Println("The wait returned its exit status:", status.ExitStatus())
	case ignored:
		fmt.Println("The wait failed:", err)
	default:
		fail("wait", err)
	}
	fmt.Println("Its state after the wait:", state(first))

	second, err := fork(exitWith, 6)
	if err != nil {
		fail("fork", err)
	}
	if ignored {
		await(second)
		fmt.Println("No SIGCHLD: the second child has ended.")
	} else {
		<-ended
		fmt.Println("SIGCHLD: the second child has ended.")
	}
	fmt.Println("Its state, with no wait:", state(second))
}

// exitStatus returns the first child's exit status: that of a student's task, which is an
// argument, or the lab's own.
func exitStatus() int {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, "exit_status="); ok {
			if n, err := strconv.Atoi(text); err == nil {
				return n
			}
		}
	}
	return 5
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

// await returns when a process has ended, without a signal that reports it.
func await(pid int) {
	for s := state(pid); s != "Z" && s != "none"; s = state(pid) {
		time.Sleep(time.Millisecond)
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
