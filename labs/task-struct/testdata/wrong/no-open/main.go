//go:build amd64 || riscv64

package main

import "os"

// The program opens another file.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	rename("renamed")
	open("/dev/zero")
	kill(os.Getpid(), 10)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
