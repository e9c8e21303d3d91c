// This program has to make one child with Linux's plain fork, which is clone with
// no flag but SIGCHLD, and the thread that forks has to wait for it. It has to print
// three lines:
//
//	This is Child Process!     by the child
//	This is Parent Process!    by the parent
//	Child Complete!            by the parent, after the line of the child
//
// The child has to end with exit status ${variant.exit_status}, and the parent with exit status 0. Threads,
// and processes that other calls make, do not count. Import only the standard library.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that forks: the same thread has to wait.
	runtime.LockOSThread()

	pid, errno := fork()
	if errno != 0 {
		write([]byte("fork: " + errno.Error() + "\n"))
		os.Exit(1)
	}
	_ = pid // Print and wait here.
}

// fork makes a child: it returns 0 in the child and the child's pid in the parent.
//
// The child is a copy of a Go program without the threads of Go's runtime, so it
// may make nothing but raw system calls: write, then exit_group.
//
// Signals are blocked meanwhile, because a signal that arrives during the call makes
// the kernel restart it, and Go's runtime sends signals to itself.
//
//go:noinline
//go:norace
func fork() (pid int, errno syscall.Errno) {
	const setMask, maskSize = 2, 8
	var old uint64
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	// Make the call here. The child has to end here too.
	errno = syscall.ENOSYS
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, maskSize, 0, 0)
	return pid, errno
}

// write prints with a raw system call, as the child may.
//
//go:nosplit
func write(text []byte) {
	syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)))
}
