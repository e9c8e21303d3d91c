// Command no-priority is copy-process without a priority for input and output.
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
	wait(clone(0))
	pause()
	wait(clone(syscall.CLONE_FILES))
	os.Stdout.WriteString("Two children made.\n")
}
