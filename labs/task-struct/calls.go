//go:build amd64 || riscv64

package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// task returns a value of a student's task, which is an argument NAME=VALUE, or the lab's
// own.
func task(name, own string) string {
	for _, arg := range os.Args[1:] {
		if text, ok := strings.CutPrefix(arg, name+"="); ok {
			return text
		}
	}
	return own
}

func number(name string, own int) int {
	n, err := strconv.Atoi(task(name, strconv.Itoa(own)))
	check(name, err)
	return n
}

func check(what string, err error) {
	if err != nil {
		os.Stderr.WriteString(what + ": " + err.Error() + "\n")
		os.Exit(1)
	}
}

func failed(what string, errno syscall.Errno) {
	if errno != 0 {
		check(what, errno)
	}
}

const setMask, maskSize = 2, 8

// init keeps main on the process's first thread, the leader of its thread group.
func init() { runtime.LockOSThread() }

// blockSignals keeps all signals from this thread, and so also from what it makes: those
// of Go's runtime would make a call start again. The given one has to stay pending, so the
// threads of the runtime may not take it either. They block what was blocked when the
// program began, so the program begins once more.
func blockSignals(signal int) {
	var before uint64
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, 0, uintptr(unsafe.Pointer(&before)), maskSize, 0, 0)
	if bit := uint64(1) << (signal - 1); before&bit == 0 {
		mask(before | bit)
		self, err := os.Executable()
		check("find the program", err)
		check("exec", syscall.Exec(self, os.Args, os.Environ()))
	}
	mask(^uint64(0))
}

func mask(blocked uint64) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&blocked)), 0, maskSize, 0, 0)
}

// ignore has a signal ignored, and blocks it no more: a blocked signal stays pending in any
// case, because the process may change its mind.
func ignore(signal int) {
	action := [4]uintptr{1} // SIG_IGN
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(&action)), 0, maskSize, 0, 0)
	mask(^(uint64(1) << (signal - 1)))
}

func chdir(dir string) { check("chdir", syscall.Chdir(dir)) }

// rename changes the name of this task, as pthread_setname_np does.
func rename(name string) {
	const setName = 15 // PR_SET_NAME
	text, err := syscall.BytePtrFromString(name)
	check("prctl", err)
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setName, uintptr(unsafe.Pointer(text)), 0)
	failed("prctl", errno)
}

// open leaves the file open.
func open(path string) {
	_, err := syscall.Open(path, syscall.O_RDONLY, 0)
	check("open", err)
}

func kill(pid, signal int) { check("kill", syscall.Kill(pid, syscall.Signal(signal))) }

// spawn makes a system call that makes a task. The new task ends by the call
// exit without ever returning from here.
//
//go:noescape
func spawn(call, a, b, c, d, e, exit uintptr) uintptr

// include/uapi/linux/sched.h
const (
	cloneVM         = 0x100
	cloneFS         = 0x200
	cloneFiles      = 0x400
	cloneSighand    = 0x800
	cloneThread     = 0x10000
	cloneSysvsem    = 0x40000
	cloneSetTID     = 0x100000
	cloneChildClear = 0x200000
)

// thread makes a thread as a thread library does, and waits until it is gone: the kernel
// then clears the word that it was given.
func thread() {
	const size = 64 << 10
	stack, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check("mmap", err)
	tid := (*uint32)(unsafe.Pointer(&stack[0]))
	const flags = uintptr(cloneVM | cloneFS | cloneFiles | cloneSighand | cloneThread | cloneSysvsem | cloneSetTID | cloneChildClear)
	at := uintptr(unsafe.Pointer(tid))
	a, b, c, d, e := cloneArgs(flags, uintptr(unsafe.Pointer(&stack[size-16])), at, at)
	if r := spawn(clone, a, b, c, d, e, syscall.SYS_EXIT); int(r) < 0 {
		check("clone", syscall.Errno(-int(r)))
	}
	for atomic.LoadUint32(tid) != 0 {
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// sleeper makes a child that waits for nothing, without end. It stays a copy of a Go
// program without the threads of Go's runtime: it may do nothing but raw system calls.
//
//go:noinline
//go:norace
func sleeper() int {
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && r == 0 {
		sleep()
	}
	failed("fork", errno)
	return int(r)
}

//go:nosplit
//go:norace
func sleep() {
	for {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// pause gives the children time to fall asleep.
func pause() {
	ts := syscall.NsecToTimespec(20_000_000)
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// end kills a child and waits for it.
func end(pid int) {
	kill(pid, int(syscall.SIGKILL))
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			check("wait", err)
			return
		}
	}
}
