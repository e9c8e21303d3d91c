//go:build amd64 || riscv64

package main

import "os"

// The program has another name and another signal than its task says.
func main() {
	blockSignals(12)
	chdir("/proc/sys")
	rename("another")
	open("/dev/null")
	kill(os.Getpid(), 12)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
