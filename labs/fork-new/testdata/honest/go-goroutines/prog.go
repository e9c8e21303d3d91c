// Lets Go's runtime start threads after the fork: a goroutine prints, others block.
package main

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

var child = []byte("This is Child Process!\n")

func main() {
	runtime.LockOSThread()
	pid, errno := fork()
	if errno != 0 {
		os.Exit(1)
	}
	r, w, err := os.Pipe()
	if err != nil {
		os.Exit(1)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			runtime.LockOSThread() // a thread each
			var b [1]byte
			syscall.Read(int(r.Fd()), b[:])
		})
	}
	done := make(chan bool)
	go func() {
		os.Stdout.WriteString("This is Parent Process!\n")
		close(done)
	}()
	<-done
	var status syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if got != pid || status != 0 {
			os.Exit(1)
		}
		break
	}
	w.Close()
	all.Wait()
	os.Stdout.WriteString("Child Complete!\n")
}

//go:noinline
//go:norace
func fork() (pid int, errno syscall.Errno) {
	const setMask, maskSize = 2, 8
	var old uint64
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), maskSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&child[0])), uintptr(len(child)))
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&old)), 0, maskSize, 0, 0)
	return int(r), errno
}
