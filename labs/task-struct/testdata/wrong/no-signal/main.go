//go:build amd64 || riscv64

package main

import "os"

// The signal is ignored, and so it is not pending.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	rename("renamed")
	open("/dev/null")
	ignore(10)
	kill(os.Getpid(), 10)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
