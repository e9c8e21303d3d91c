// Command other-flags is copy-process with another flag than the one that is asked
// for.
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
	wait(clone(0))
	pause()
	wait(clone(syscall.CLONE_FS))
	os.Stdout.WriteString("Two children made.\n")
}
