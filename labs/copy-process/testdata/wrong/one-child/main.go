// Command one-child is copy-process without the second child.
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
	os.Stdout.WriteString("Two children made.\n")
}
