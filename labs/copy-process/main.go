// Command copy-process makes two children, one after the other. The first is made by a
// plain fork, which copies everything that can be copied. The second is made with flags
// that say what the two tasks share.
//
// Between the two it waits until the kernel has freed what the first child was made of.
package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	// The lab watches the task that makes the calls.
	runtime.LockOSThread()
	blockSignals()
	bind()
	if !variation("no-priority") {
		setPriority()
	}
	wait(clone(0))
	if !variation("no-pause") {
		pause()
	}
	wait(clone(secondFlags()))
	os.Stdout.WriteString("Two children made.\n")
}

// variation reports whether a variation of the lab is asked for: lab run copy-process
// --what-if.
func variation(name string) bool { return slices.Contains(os.Args[1:], name) }

// secondFlags returns the flags of the second call: those of a student's task, which are
// an argument, or the lab's own.
func secondFlags() uintptr {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, "flags="); ok {
			if n, err := strconv.ParseUint(text, 10, 32); err == nil {
				return uintptr(n)
			}
		}
	}
	return syscall.CLONE_FILES
}
