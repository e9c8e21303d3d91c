//go:build amd64 || riscv64

// Command fork-family makes a task in each of the four ways that user space has:
// fork, vfork, clone as a thread library calls it, and clone3. Each child ends at
// once, and the next is made when it is gone.
package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// include/uapi/linux/sched.h
const (
	cloneVM           = 0x100
	cloneFS           = 0x200
	cloneFiles        = 0x400
	cloneSighand      = 0x800
	cloneVfork        = 0x4000
	cloneThread       = 0x10000
	cloneSysvsem      = 0x40000
	cloneParentSettid = 0x100000
	cloneChildClear   = 0x200000
	cloneClearSighand = 0x100000000 // only clone3 has room for it
	sigchld           = uintptr(syscall.SIGCHLD)
	exitGroup         = uintptr(syscall.SYS_EXIT_GROUP)
	exitThread        = uintptr(syscall.SYS_EXIT)
)

// spawn makes a system call that makes a task. The new task ends by the call
// exit without ever returning from here.
//
//go:noescape
func spawn(call, a, b, c, d, e, exit uintptr) uintptr

func main() {
	// The lab watches the task that makes the calls.
	runtime.LockOSThread()
	blockSignals()
	reap("fork", fork())
	reap("vfork", vfork())
	thread()
	reap("clone3", byClone3())
	os.Stdout.WriteString("Four tasks made.\n")
}

// blockSignals keeps the signals of Go's runtime away: one that arrives in a call
// makes the kernel start it again, and a thread inherits the mask.
func blockSignals() {
	all := ^uint64(0)
	const setMask, maskSize = 2, 8
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&all)), 0, maskSize, 0, 0)
}

// reap waits for a process.
func reap(what string, pid uintptr) {
	if int(pid) < 0 {
		fail(what, syscall.Errno(-int(pid)))
	}
	for {
		if _, err := syscall.Wait4(int(pid), nil, 0, nil); err != syscall.EINTR {
			if err != nil {
				fail("wait for the child of "+what, err)
			}
			return
		}
	}
}

// thread makes a thread and waits until it is gone: the kernel then clears the
// word that it was given.
func thread() {
	const size = 64 << 10
	stack, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		fail("mmap", err)
	}
	tid := (*uint32)(unsafe.Pointer(&stack[0]))
	flags := uintptr(cloneVM | cloneFS | cloneFiles | cloneSighand | cloneThread | cloneSysvsem | cloneParentSettid | cloneChildClear)
	if slices.Contains(os.Args[1:], "own-files") { // lab run fork-family --what-if
		flags &^= cloneFiles
	}
	at := uintptr(unsafe.Pointer(tid))
	top := uintptr(unsafe.Pointer(&stack[size-16]))
	a, b, c, d, e := cloneArgs(flags, top, at, at)
	if r := spawn(clone, a, b, c, d, e, exitThread); int(r) < 0 {
		fail("clone", syscall.Errno(-int(r)))
	}
	for atomic.LoadUint32(tid) != 0 {
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// byClone3 makes a process by clone3, whose arguments are in a structure
// (struct clone_args), with a flag that clone has no room for.
func byClone3() uintptr {
	var args struct{ flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64 }
	args.flags, args.exitSignal = clone3Flags(), uint64(sigchld)
	return spawn(clone3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0, 0, 0, exitGroup)
}

// clone3Flags returns the flags that clone3 gets: those of a student's task, which are an
// argument, or the lab's own.
func clone3Flags() uint64 {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, "clone3_flags="); ok {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil {
				return n
			}
		}
	}
	return cloneClearSighand
}

func fail(what string, err error) {
	os.Stderr.WriteString(what + ": " + err.Error() + "\n")
	os.Exit(1)
}
