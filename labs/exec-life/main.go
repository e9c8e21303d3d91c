// Command exec-life does what a shell does with a command: it makes a process,
// the process becomes another program, and the shell waits for its end.
//
// Between its birth and its exec the child is a copy of a Go program without the
// threads of Go's runtime: it may do nothing but raw system calls.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()
	command, words := "/tmp/hello", []string{"/tmp/hello"}
	if slices.Contains(os.Args[1:], "real-shell") { // lab run exec-life --what-if
		command, words = "/bin/sh", []string{"/bin/sh", "-c", "/bbin/uname"}
	} else if !slices.Contains(os.Args[1:], "no-file") { // lab run exec-life --what-if
		if err := os.WriteFile(command, hello(), 0o755); err != nil {
			fail("write", err)
		}
	}
	file, _ := syscall.BytePtrFromString(command)
	args := []*byte{}
	for _, w := range words {
		arg, _ := syscall.BytePtrFromString(w)
		args = append(args, arg)
	}
	args = append(args, nil)
	plan := execve{file: file, args: &args[0], env: &args[len(args)-1]}

	pid, err := fork(&plan)
	if err != nil {
		fail("fork", err)
	}
	status, err := wait(pid)
	runtime.KeepAlive(&plan)
	if err != nil {
		fail("wait", err)
	}
	fmt.Printf("%s ended with status %d.\n", command, status.ExitStatus())
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

// execve is what the child passes to the call of that name.
type execve struct {
	file *byte
	args **byte // ends with nil
	env  **byte
}

// run is the child. execve returns only when it could not do it.
//
//go:nosplit
//go:norace
func run(p *execve) {
	syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(p.file)), uintptr(unsafe.Pointer(p.args)), uintptr(unsafe.Pointer(p.env)))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

// fork returns the child's pid in the parent. The child runs the program.
//
// A signal that arrives during clone makes the kernel start the call again, and
// Go's runtime preempts with signals: all are blocked for good.
// They are blocked per thread, and main keeps this goroutine on one.
//
//go:noinline
//go:norace
func fork(plan *execve) (pid int, err error) {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		run(plan)
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
