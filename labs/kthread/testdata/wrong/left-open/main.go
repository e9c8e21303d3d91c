// Command left-open ends with the file of the trigger open: a process that outlives
// it has the file too.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

func main() {
	// The lab watches the task that asks for the thread.
	runtime.LockOSThread()
	file := os.NewFile(3, "/proc/pressure/cpu")
	fmt.Println("psimon before: none")
	if pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0); pid == 0 {
		for {
			long := syscall.Timespec{Sec: 1000}
			syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&long)), 0, 0)
		}
	}
	file.WriteString("some 500000 1000000\n")
	fmt.Println("psimon while a trigger is set: a child of kthreadd")
	fmt.Println("psimon after: none")
}
