//go:build amd64 || riscv64

package main

import "os"

// The second child is made when the first one has gone.
func main() {
	blockSignals(10)
	chdir("/proc/sys")
	rename("renamed")
	open("/dev/null")
	kill(os.Getpid(), 10)
	thread()
	first := sleeper()
	pause()
	end(first)
	second := sleeper()
	pause()
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
