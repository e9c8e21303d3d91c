//go:build amd64 || riscv64

package main

import "os"

// Nobody waits for the first child before the second is killed.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	rename("renamed")
	open("/dev/null")
	kill(os.Getpid(), 10)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	kill(first, 9)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
