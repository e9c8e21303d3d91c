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
		fmt.Println("khugepaged before: none")
		fmt.Println("khugepaged while huge pages are on: a child of kthreadd")
		fmt.Println("khugepaged after: none")
	})
	threads.Wait()
}
