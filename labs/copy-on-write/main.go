// Command copy-on-write maps some pages, writes to all of them, and forks. Then the child
// writes to one of the pages, and after that the parent writes to the same one. Each prints
// what it reads there.
//
// The child stays a copy of a Go program without the threads of Go's runtime: it may do
// nothing but raw system calls.
package main

import (
	"os"
	"runtime"
	"slices"
	"syscall"
)

func main() {
	// The lab watches the task that forks: the same thread has to write and wait.
	runtime.LockOSThread()
	t := readTask(os.Args[1:])
	if slices.Contains(os.Args[1:], "parent-first") { // lab run copy-on-write --what-if
		t.first = "parent"
	}

	memory, err := syscall.Mmap(-1, 0, t.pages*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check("mmap", err)
	for i := range t.pages {
		copy(memory[i*pageSize:], "written before the fork\n")
	}
	child, parent := sides(&memory[t.page*pageSize], t.first)
	pid, err := fork(child)
	check("fork", err)
	parent.run()
	status, err := wait(pid)
	check("wait", err)
	if status.ExitStatus() != 0 {
		os.Exit(1)
	}
}

const pageSize = 4096
