//go:build amd64 || riscv64

package main

import "os"

// The program has no thread of its own.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	rename("renamed")
	open("/dev/null")
	kill(os.Getpid(), 10)
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
