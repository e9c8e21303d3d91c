// A child of the first process exits, and the first process waits for it.
package main

import (
	"syscall"
	"time"
)

func main() {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 11, 0, 0)
		}
	}
	syscall.Wait4(int(pid), nil, 0, nil)
	time.Sleep(time.Hour)
}
