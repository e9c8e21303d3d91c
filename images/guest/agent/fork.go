package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// held describes a process to be made and held before its exec.
type held struct {
	path      string
	argv, env []string
	stdin     *os.File
	stdout    *os.File
	stderr    *os.File
	gate      *os.File // the process waits for a byte from here
	status    *os.File // and writes the errno of a failed exec here
}

// child is held in the form that raw system calls take.
type child struct {
	path, cwd, oom, zero *byte
	argv, env            **byte
	fds                  [3]uintptr
	gate, status         uintptr
	limits               [5]limit
	noSignals            uint64
}

type limit struct {
	resource uintptr
	value    syscall.Rlimit
}

const (
	prSetNoNewPrivs = 38
	rlimitNproc     = 6
	rlimitCore      = 4
	rlimitMemlock   = 8
	rlimitFsize     = 1
	rlimitNofile    = 7
	sigSetmask      = 2
	sigsetSize      = 8
	openWronly      = 1
	atFdcwd         = ^uintptr(99) // -100
)

// forkHeld makes a process that becomes the program once its gate opens, with
// the same pid. It is a plain fork: the child has one thread, and all that
// it does between the gate and the exec is to unblock its signals, so that what
// a debugger sees after the gate is the program's own doing.
func forkHeld(h held) (pid int, err error) {
	c := child{
		fds:    [3]uintptr{h.stdin.Fd(), h.stdout.Fd(), h.stderr.Fd()},
		gate:   h.gate.Fd(),
		status: h.status.Fd(),
		limits: [5]limit{
			{rlimitCore, syscall.Rlimit{}},
			{rlimitNproc, syscall.Rlimit{Cur: 128, Max: 128}},
			{rlimitMemlock, syscall.Rlimit{}},
			{rlimitFsize, syscall.Rlimit{Cur: 32 << 20, Max: 32 << 20}},
			{rlimitNofile, syscall.Rlimit{Cur: 256, Max: 256}},
		},
	}
	if c.path, err = syscall.BytePtrFromString(h.path); err != nil {
		return 0, fmt.Errorf("path: %w", err)
	}
	if c.cwd, err = syscall.BytePtrFromString(cwd); err != nil {
		return 0, err
	}
	if c.oom, err = syscall.BytePtrFromString("/proc/self/oom_score_adj"); err != nil {
		return 0, err
	}
	if c.zero, err = syscall.BytePtrFromString("0"); err != nil {
		return 0, err
	}
	argv, err := syscall.SlicePtrFromStrings(h.argv)
	if err != nil {
		return 0, fmt.Errorf("arguments: %w", err)
	}
	env, err := syscall.SlicePtrFromStrings(h.env)
	if err != nil {
		return 0, fmt.Errorf("environment: %w", err)
	}
	c.argv, c.env = &argv[0], &env[0]

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, errno := fork(&c)
	runtime.KeepAlive(argv)
	runtime.KeepAlive(env)
	if errno != 0 {
		return 0, fmt.Errorf("fork: %w", errno)
	}
	return pid, nil
}

// fork returns in the parent only. The child may not grow its stack, allocate
// or be preempted, for there is no runtime in it: all signals are blocked, and
// it calls nothing but raw system calls.
//
//go:noinline
//go:norace
func fork(c *child) (pid int, errno syscall.Errno) {
	var old uint64
	var gateByte byte
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), sigsetSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if r != 0 || errno != 0 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&old)), 0, sigsetSize, 0, 0)
		return int(r), errno
	}

	r, _, errno = syscall.RawSyscall6(syscall.SYS_OPENAT, atFdcwd, uintptr(unsafe.Pointer(c.oom)), openWronly, 0, 0, 0)
	if errno == 0 {
		syscall.RawSyscall(syscall.SYS_WRITE, r, uintptr(unsafe.Pointer(c.zero)), 1)
		syscall.RawSyscall(syscall.SYS_CLOSE, r, 0, 0)
	}
	for i := range c.fds {
		if _, _, errno = syscall.RawSyscall(syscall.SYS_DUP3, c.fds[i], uintptr(i), 0); errno != 0 {
			goto failed
		}
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); errno != 0 {
		goto failed
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(c.cwd)), 0, 0); errno != 0 {
		goto failed
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_SETPRIORITY, syscall.PRIO_PROCESS, 0, 0); errno != 0 {
		goto failed
	}
	for i := range c.limits {
		if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, c.limits[i].resource, uintptr(unsafe.Pointer(&c.limits[i].value)), 0, 0, 0); errno != 0 {
			goto failed
		}
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		goto failed
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_SETRESGID, uid, uid, uid); errno != 0 {
		goto failed
	}
	if _, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		goto failed
	}
	if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		goto failed
	}
	r, _, errno = syscall.RawSyscall(syscall.SYS_READ, c.gate, uintptr(unsafe.Pointer(&gateByte)), 1)
	if errno == 0 && r == 1 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&c.noSignals)), 0, sigsetSize, 0, 0)
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(c.path)), uintptr(unsafe.Pointer(c.argv)), uintptr(unsafe.Pointer(c.env)))
	}
failed:
	syscall.RawSyscall(syscall.SYS_WRITE, c.status, uintptr(unsafe.Pointer(&errno)), unsafe.Sizeof(errno))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}
