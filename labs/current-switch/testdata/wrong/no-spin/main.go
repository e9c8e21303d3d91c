// Command no-spin is current-switch, but its parent never computes: it waits for the child.
package main

import (
	"runtime"
	"sync/atomic"
)

func main() {
	runtime.LockOSThread()
	bind()
	t := lay()
	pid := fork(&t)
	t.await()
	atomic.StoreUint32(&t.flags[0], 1)
	end(pid)
}
