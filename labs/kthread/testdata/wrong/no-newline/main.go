// Command no-newline writes a trigger whose last byte the kernel replaces, so that
// its window is shorter than the kernel accepts.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	runtime.LockOSThread()
	file := os.NewFile(3, "/proc/pressure/cpu")
	file.WriteString("some 500000 1000000") // without a newline
	fmt.Println("psimon before: none")
	fmt.Println("psimon while a trigger is set: a child of kthreadd")
	fmt.Println("psimon after: none")
}
