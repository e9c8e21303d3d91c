// Command crash-before is ended by a segmentation fault before it forks.
package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	os.Stdout.WriteString("This is Parent Process!\n")
	crash(nil)
}

// crash reads through p. Go's runtime would turn the fault into a panic, but a
// fault whose signal is blocked ends the process.
//
//go:noinline
func crash(p *byte) byte {
	runtime.LockOSThread()
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
	return *p
}
