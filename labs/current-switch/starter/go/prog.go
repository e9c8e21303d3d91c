// This program has to make the kernel switch between two tasks in two ways. In this
// order, it has to
//
//  1. bind itself to the first CPU (sched_setaffinity), and make a pipe, and memory that
//     both tasks have;
//  2. make one child with Linux's plain fork, which is clone with no flag but SIGCHLD;
//  3. read ${variant.bytes} bytes from the pipe, which is empty, by one call of read;
//  4. when it has them, compute in user space, without a system call, for some ticks of
//     the timer;
//  5. let the child end, wait for it, print the line  Both have had the CPU.  and end with
//     exit status 0.
//
// The child has to wait until a timer of the kernel has run out, such as that of
// SO_RCVTIMEO on a socket to which nobody writes. Then it has to write ${variant.bytes} bytes to the
// pipe by one call of write, and compute in user space until its parent lets it end.
//
// Import only the standard library.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that reads: the same thread has to fork and to wait.
	runtime.LockOSThread()

	pid, errno := fork()
	if errno != 0 {
		os.Stderr.WriteString("fork: " + errno.Error() + "\n")
		os.Exit(1)
	}
	_ = pid // Read, compute, wait and print here.
	os.Exit(1)
}

// fork makes the child, which does its part and ends in here, and returns its pid.
//
// The child is a copy of a Go program without the threads of Go's runtime, so it may make
// nothing but raw system calls (syscall.RawSyscall), and end with exit_group.
//
// Signals are blocked from here on, because those of Go's runtime would end the parent's
// calls early, or interrupt its computing.
//
//go:noinline
//go:norace
func fork() (pid int, errno syscall.Errno) {
	const setMask, maskSize = 2, 8
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	// Make the call here. The child has to do its part here, and to end.
	errno = syscall.ENOSYS
	return pid, errno
}
