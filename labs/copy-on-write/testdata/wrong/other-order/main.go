// Command other-order is copy-on-write, but the task that has to write second writes first.
package main

import (
	"os"
	"runtime"
	"syscall"
)

func main() {
	// The lab watches the task that forks: the same thread has to write and wait.
	runtime.LockOSThread()
	t := readTask(os.Args[1:])

	memory, err := syscall.Mmap(-1, 0, t.pages*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check("mmap", err)
	for i := range t.pages {
		copy(memory[i*pageSize:], "written before the fork\n")
	}
	child, parent := sides(&memory[t.page*pageSize], t.first)
	child.first, parent.first = parent.first, child.first
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
