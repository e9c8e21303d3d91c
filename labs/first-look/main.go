// Command first-look asks the kernel for the pid of its parent, and prints it.
package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
)

func main() {
	// The lab follows the task that makes the call: the same thread has to print.
	runtime.LockOSThread()
	os.Stdout.WriteString("My parent has pid " + strconv.Itoa(syscall.Getppid()) + ".\n")
}
