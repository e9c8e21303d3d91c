// The program has to make two children, one after the other, and the thread that makes
// them has to wait for each. In this order, it has to
//
//  1. set its priority for input and output: ioprio_set(IOPRIO_WHO_PROCESS = 1, 0,
//     2 << 13 | 4), which gives the task an io_context;
//  2. make the first child by clone with no flag but SIGCHLD, and wait for it;
//  3. sleep for two tenths of a second;
//  4. make the second child by clone with ${flags(variant.flags + SIGCHLD)}, and wait for it;
//  5. print the line  Two children made.  and end with exit status 0.
//
// The children end at once, with exit status 0.
//
// A child is a copy of a Go program without the threads of Go's runtime, so it may make
// nothing but raw system calls. The parent makes raw calls as well: for others, Go's
// runtime may start a thread, which takes the memory that the lab is about. Import only
// the standard library.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that makes the calls: the same thread has to wait.
	runtime.LockOSThread()
	blockSignals()

	// What is asked for comes before, between and after the two calls: make it with
	// syscall.SYS_IOPRIO_SET, syscall.SYS_WAIT4, syscall.SYS_NANOSLEEP and RawSyscall6.
	pid, errno := clone(uintptr(syscall.SIGCHLD))
	if errno != 0 {
		os.Stderr.WriteString("clone: " + errno.Error() + "\n")
		os.Exit(1)
	}
	_ = pid // Wait here.
}

// clone makes a child, which has to end in here. It returns the child's pid.
//
//go:noinline
//go:norace
func clone(flags uintptr) (pid uintptr, errno syscall.Errno) {
	// Make the call here.
	return 0, syscall.ENOSYS
}

// blockSignals keeps the signals of Go's runtime away: one that arrives in clone makes
// the kernel start the call again.
func blockSignals() {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
}
