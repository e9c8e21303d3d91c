package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// held describes a process to be made and held before its exec.
type held struct {
	stdin  *os.File
	stdout *os.File
	stderr *os.File
	gate   *os.File   // the process waits for its order from here
	status *os.File   // and writes the errno of a failed exec here
	open   []*os.File // its descriptors 3, 4 and so on
}

// order is what a held process is to exec: the arguments of execve(2), and
// behind them what they point to. The process reads it over its own copy of the
// memory that it was made with, so that pointers into that hold.
type order struct {
	path, argv, env uintptr
	_               [orderSize - 3*unsafe.Sizeof(uintptr(0))]byte
}

// orderSize is what a pipe takes and gives at once (PIPE_BUF).
const orderSize = 4096

// encode returns the bytes of an order that is read to where o lies.
func (o *order) encode(path string, argv, env []string) ([]byte, error) {
	b := make([]byte, unsafe.Offsetof(o.env)+unsafe.Sizeof(o.env))
	here := func() uint64 { return uint64(uintptr(unsafe.Pointer(o))) + uint64(len(b)) }
	var err error
	text := func(s string) uint64 {
		at := here()
		raw, e := syscall.ByteSliceFromString(s)
		if e != nil && err == nil {
			err = fmt.Errorf("%q: %w", s, e)
		}
		b = append(b, raw...)
		return at
	}
	list := func(all []string) uint64 {
		var pointers []uint64
		for _, s := range all {
			pointers = append(pointers, text(s))
		}
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		at := here()
		for _, p := range append(pointers, 0) {
			b = binary.NativeEndian.AppendUint64(b, p)
		}
		return at
	}
	for i, p := range []uint64{text(path), list(argv), list(env)} {
		binary.NativeEndian.PutUint64(b[8*i:], p)
	}
	if err == nil && len(b) > orderSize {
		err = fmt.Errorf("the program's name, arguments and environment take %d bytes, over the limit of %d", len(b), orderSize)
	}
	return b, err
}

// child is held in the form that raw system calls take.
type child struct {
	cwd, oom, zero *byte
	order          *order
	fds            []uintptr // what becomes descriptors 0, 1, 2 and so on
	gate, status   uintptr
	limits         [6]limit
	noSignals      uint64
}

type limit struct {
	resource uintptr
	value    syscall.Rlimit
}

// limits are a program's.
func limits() [6]limit {
	return [6]limit{
		{rlimitCore, syscall.Rlimit{}},
		{rlimitNproc, syscall.Rlimit{Cur: 128, Max: 128}},
		{rlimitMemlock, syscall.Rlimit{}},
		{rlimitFsize, syscall.Rlimit{Cur: 32 << 20, Max: 32 << 20}},
		{rlimitNofile, syscall.Rlimit{Cur: 256, Max: 256}},
		{rlimitSigpending, syscall.Rlimit{Cur: 256, Max: 256}}, // timers too
	}
}

const (
	prSetNoNewPrivs  = 38
	rlimitNproc      = 6
	rlimitCore       = 4
	rlimitMemlock    = 8
	rlimitFsize      = 1
	rlimitNofile     = 7
	rlimitSigpending = 11
	sigSetmask       = 2
	sigsetSize       = 8
	openWronly       = 1
	atFdcwd          = ^uintptr(99) // -100
)

// forkHeld makes a process that becomes a program, with the same pid, once its
// gate gives it the order. It is a plain fork: the child has one thread, and all
// that it does between the gate and the exec is to unblock its signals, so that
// what a debugger sees after the gate is the program's own doing.
func forkHeld(h held, o *order) (pid int, err error) {
	c := child{
		fds:    []uintptr{h.stdin.Fd(), h.stdout.Fd(), h.stderr.Fd()},
		gate:   h.gate.Fd(),
		status: h.status.Fd(),
		order:  o,
		limits: limits(),
	}
	for _, f := range h.open {
		c.fds = append(c.fds, f.Fd())
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

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, errno := fork(&c)
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
	// What is used below moves to descriptors that the program's do not replace.
	for i := range c.fds {
		if c.fds[i], _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, c.fds[i], syscall.F_DUPFD_CLOEXEC, uintptr(len(c.fds))); errno != 0 {
			goto failed
		}
	}
	if r, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, c.status, syscall.F_DUPFD_CLOEXEC, uintptr(len(c.fds))); errno != 0 {
		goto failed
	}
	c.status = r
	if c.gate, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, c.gate, syscall.F_DUPFD_CLOEXEC, uintptr(len(c.fds))); errno != 0 {
		goto failed
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
	r, _, errno = syscall.RawSyscall(syscall.SYS_READ, c.gate, uintptr(unsafe.Pointer(c.order)), orderSize)
	if errno == 0 && r > 0 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&c.noSignals)), 0, sigsetSize, 0, 0)
		_, _, errno = syscall.RawSyscall(syscall.SYS_EXECVE, c.order.path, c.order.argv, c.order.env)
	}
failed:
	syscall.RawSyscall(syscall.SYS_WRITE, c.status, uintptr(unsafe.Pointer(&errno)), unsafe.Sizeof(errno))
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}
