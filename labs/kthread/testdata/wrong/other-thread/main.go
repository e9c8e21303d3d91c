// Command other-thread has one thread set the trigger and another close its file.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	runtime.LockOSThread()
	file := os.NewFile(3, "/proc/pressure/cpu")
	fmt.Println("psimon before: none")
	file.WriteString("some 500000 1000000\n")
	fmt.Println("psimon while a trigger is set: a child of kthreadd")
	time.Sleep(50 * time.Millisecond) // or the thread is asked to end before it has begun
	closed := make(chan error)
	go func() { closed <- file.Close() }() // another thread: this one is locked
	<-closed
	fmt.Println("psimon after: none")
}
