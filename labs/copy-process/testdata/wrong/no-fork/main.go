// Command no-fork sets its priority and says that it made the children.
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
	pause()
	os.Stdout.WriteString("Two children made.\n")
}
