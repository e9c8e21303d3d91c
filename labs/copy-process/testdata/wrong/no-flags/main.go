// Command no-flags is copy-process with two plain forks.
package main

import (
	"os"
	"runtime"
)

func main() {
	// The lab watches the task that makes the calls.
	runtime.LockOSThread()
	blockSignals()
	bind()
	setPriority()
	wait(clone(0))
	pause()
	wait(clone(0))
	os.Stdout.WriteString("Two children made.\n")
}
