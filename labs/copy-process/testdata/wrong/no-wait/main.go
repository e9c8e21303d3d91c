// Command no-wait is copy-process with a parent that does not wait for the first
// child.
package main

import (
	"os"
	"runtime"
	"syscall"
)

func main() {
	// The lab watches the task that makes the calls.
	runtime.LockOSThread()
	blockSignals()
	bind()
	setPriority()
	clone(0)
	pause()
	wait(clone(syscall.CLONE_FILES))
	os.Stdout.WriteString("Two children made.\n")
}
