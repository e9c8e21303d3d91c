//go:build amd64 || riscv64

package main

import "os"

// The program stays where it is.
func main() {
	blockSignals(10)
	rename("renamed")
	open("/dev/null")
	kill(os.Getpid(), 10)
	thread()
	first, second := sleeper(), sleeper()
	pause()
	end(first)
	end(second)
	os.Stdout.WriteString("The tour is over.\n")
}
