//go:build amd64 || riscv64

// Command task-struct changes what the kernel keeps of a task, one member after the
// other: the working directory, the name, the open files, the pending signals, and then
// the process tree, by a thread and two children.
package main

import (
	"os"
	"slices"
	"syscall"
)

func main() {
	signal := number("signal", int(syscall.SIGUSR1))
	blockSignals(signal)
	chdir("/proc/sys")
	rename(task("name", "renamed"))
	open("/dev/null")
	if slices.Contains(os.Args[1:], "ignored") { // lab run task-struct --what-if
		ignore(signal)
	}
	kill(os.Getpid(), signal)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
