// Command shared-first is copy-process with the two calls in the wrong order.
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
	wait(clone(syscall.CLONE_FILES))
	pause()
	wait(clone(0))
	os.Stdout.WriteString("Two children made.\n")
}
