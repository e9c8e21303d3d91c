// Command no-fork sets its priority and says that it made the children.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that makes the calls.
	runtime.LockOSThread()
	blockSignals()
	setPriority()
	pause()
	os.Stdout.WriteString("Two children made.\n")
}

// blockSignals keeps the signals of Go's runtime away: one that arrives in clone makes
// the kernel start the call again.
func blockSignals() {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
}

// setPriority gives the task a priority for its input and output. The kernel keeps it in
// an io_context, which a task does not have before.
func setPriority() {
	const process, bestEffort = 1, 2
	if _, _, errno := syscall.RawSyscall(syscall.SYS_IOPRIO_SET, process, 0, bestEffort<<13|4); errno != 0 {
		fail("ioprio_set", errno)
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
