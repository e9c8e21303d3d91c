// Command no-wait is current-switch, but the byte is in the pipe before anybody reads.
package main

import (
	"runtime"
	"syscall"
)

func main() {
	runtime.LockOSThread()
	bind()
	t := lay()
	_, err := syscall.Write(t.pipe[1], []byte{1})
	check("write", err)
	pid := fork(&t)
	t.await()
	t.compute()
	end(pid)
}
