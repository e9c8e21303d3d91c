//go:build amd64 || riscv64

package main

import "os"

// The program keeps its name.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	open("/dev/null")
	kill(os.Getpid(), 10)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
