// Command current-switch makes the kernel switch between two tasks in two ways: one waits
// for a byte in a pipe that the other writes, and then both compute until a tick takes the
// CPU from the one that has it.
//
// The child stays a copy of a Go program without the threads of Go's runtime: it may do
// nothing but raw system calls.
package main

import (
	"os"
	"runtime"
	"slices"
)

func main() {
	// The lab watches the task that waits, which no signal is to disturb.
	runtime.LockOSThread()
	if !slices.Contains(os.Args[1:], "any-cpu") { // lab run current-switch --what-if
		bind()
	}
	t := lay()
	pid := fork(&t)
	t.await()
	t.compute()
	end(pid)
}
