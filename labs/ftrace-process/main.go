// Command ftrace-process makes two processes for ftrace to record: the first calls
// exit_group, the second is ended by a signal.
//
// The children stay copies of a Go program without the threads of Go's runtime:
// they may do nothing but raw system calls.
package main

import (
	"fmt"
	"os"
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

	exits, err := fork(exitWith, 7)
	if err != nil {
		fail("fork", err)
	}
	status, err := wait(exits)
	if err != nil {
		fail("wait", err)
	}
	fmt.Printf("The first child exited with status %d.\n", status.ExitStatus())

	// The second child holds the other end until it has come to life: a process
	// that is killed before its first instruction ends too, but by another path.
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		fail("pipe", err)
	}
	busy := slices.Contains(os.Args[1:], "busy") // lab run ftrace-process --what-if
	second := sleepForever
	if busy {
		second = computeForever
	}
	ends := task("signal", int(syscall.SIGKILL))
	killed, err := fork(second, uintptr(pipe[1])<<8|uintptr(ends))
	if err != nil {
		fail("fork", err)
	}
	syscall.Close(pipe[1])
	if _, err := syscall.Read(pipe[0], make([]byte, 1)); err != nil {
		fail("read", err)
	}
	if busy {
		// Until now the child has made a system call, and may still be on its way
		// back from it.
		time.Sleep(20 * time.Millisecond)
	}
	if err := syscall.Kill(killed, syscall.Signal(ends)); err != nil {
		fail("kill", err)
	}
	if status, err = wait(killed); err != nil {
		fail("wait", err)
	}
	fmt.Printf("The second child was ended by signal %d.\n", int(status.Signal()))
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
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// exitWith is the first child: it asks to end.
//
//go:nosplit
//go:norace
func exitWith(status uintptr) {
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// begin is how the second child begins: it undoes what Go's runtime has set up for the
// signal that is to end it, unless that is SIGKILL, which nothing can keep away, and lets
// go of its end of the pipe. arg is the pipe's descriptor above the signal's number, which
// has eight bits.
//
//go:nosplit
//go:norace
func begin(arg uintptr) {
	pipe, signal := arg>>8, arg&0xff
	if signal != uintptr(syscall.SIGKILL) {
		var action [4]uintptr // SIG_DFL
		mask := ^(uint64(1) << (signal - 1))
		const setMask, maskSize = 2, 8
		syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0)
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&mask)), 0, maskSize, 0, 0)
	}
	syscall.RawSyscall(syscall.SYS_CLOSE, pipe, 0, 0)
}

// sleepForever is the second child: it lets go of its end of the pipe, and then
// waits for nothing, without end.
//
//go:nosplit
//go:norace
func sleepForever(arg uintptr) {
	begin(arg)
	for {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// computeForever is the second child in a variation: it never sleeps, and makes no
// system call but the first.
//
//go:nosplit
//go:norace
func computeForever(arg uintptr) {
	begin(arg)
	for n := 0; ; n++ {
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
