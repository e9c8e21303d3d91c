package main

import (
	"os"
	"syscall"
	"unsafe"
)

// blockSignals keeps the signals of Go's runtime away: one that arrives in clone makes
// the kernel start the call again.
func blockSignals() {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
}

// bind keeps this task, and the children that it makes, on the first CPU: each CPU has
// free task_structs and stacks of its own.
func bind() {
	first := [1]uint64{1}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(first), uintptr(unsafe.Pointer(&first))); errno != 0 {
		fail("sched_setaffinity", errno)
	}
}

// setPriority gives the task a priority for its input and output. The kernel keeps it in
// an io_context, which a task does not have before.
func setPriority() {
	const process, bestEffort = 1, 2
	if _, _, errno := syscall.RawSyscall(syscall.SYS_IOPRIO_SET, process, 0, bestEffort<<13|4); errno != 0 {
		fail("ioprio_set", errno)
	}
}

// clone makes a child that ends at once, and returns its pid.
//
//go:noinline
//go:norace
func clone(flags uintptr) uintptr {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, flags|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	if errno != 0 {
		fail("clone", errno)
	}
	return pid
}

// wait returns when a child has ended. It makes a raw system call, for which Go's runtime
// does not start another thread.
func wait(pid uintptr) {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0); errno != 0 {
		fail("wait4", errno)
	}
}

// pause sleeps until the first child's task_struct is free: after the child has been
// waited for, the kernel keeps it for a grace period of RCU, which takes some hundredths
// of a second at most when nothing else runs.
func pause() {
	t := syscall.NsecToTimespec(200_000_000)
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

func fail(what string, err error) {
	os.Stderr.WriteString(what + ": " + err.Error() + "\n")
	os.Exit(1)
}
