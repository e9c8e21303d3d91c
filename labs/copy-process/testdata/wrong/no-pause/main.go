// Command no-pause is copy-process without the pause: it makes the second child
// while the kernel still keeps the first one's task_struct.
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
	wait(clone(syscall.CLONE_FILES))
	os.Stdout.WriteString("Two children made.\n")
}
