// A program that asks, and prints another number.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	os.Stdout.WriteString("My parent has pid " + strconv.Itoa(syscall.Getppid()+1) + ".\n")
}
