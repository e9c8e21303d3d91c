package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// A program can be run as the guest's first process: the agent becomes it. execve(2)
// keeps the process's number and ends all of its threads but the one that calls. The
// program is as confined as any other, an ordinary user's with the same limits; only the
// kernel's output can be on the console. Nobody reads what the program prints, and nobody
// can kill it, as the kernel protects the first process from signals. The host takes the
// machine down.

// firstProcess is the number of the first process.
const firstProcess = 1

// initProgram is a program that the agent is to become.
type initProgram struct {
	order *order // what to exec
	open  []*os.File
}

// startInit prepares to become a program, and makes the process that marks the end of
// the program's limit.
func (s *server) startInit(text []byte, open []*os.File, limit time.Duration) (timer int, err error) {
	if s.init != nil {
		return 0, errors.New("the agent is to become another program")
	}
	if p := s.takeSpare(); p != nil {
		s.dismiss(p) // its gate would open when the agent's files are closed
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(s.order)), orderSize), text)
	wait := syscall.NsecToTimespec(int64(limit))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	timer, errno := forkTimer(&wait)
	if errno != 0 {
		return 0, fmt.Errorf("fork the timer: %w", errno)
	}
	s.init = &initProgram{order: s.order, open: open}
	return timer, nil
}

// forkTimer makes a process that makes the agent's mark when wait has passed. For the
// child see fork.
//
//go:noinline
//go:norace
func forkTimer(wait *syscall.Timespec) (pid int, errno syscall.Errno) {
	var old uint64
	all := ^uint64(0)
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), sigsetSize, 0, 0)
	r, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if r != 0 || errno != 0 {
		syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigSetmask, uintptr(unsafe.Pointer(&old)), 0, sigsetSize, 0, 0)
		return int(r), errno
	}
	syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(wait)), 0, 0)
	for {
		syscall.RawSyscall(syscall.SYS_SETHOSTNAME, 0, ^uintptr(0), 0)
	}
}

// become replaces the agent with the program. Where that fails, the first process ends as
// an ordinary program that cannot be started does, with status 127.
func (p *initProgram) become(g group) {
	err := p.prepare(g)
	if err == nil {
		_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, p.order.path, p.order.argv, p.order.env)
		err = errno
	}
	fmt.Fprintln(os.Stderr, "agent: become the program:", err)
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

// prepare makes the calling thread what a program is: see fork. The user changes in this
// thread only, which the others do not outlive.
func (p *initProgram) prepare(g group) error {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0); err != nil {
		return err
	}
	if err := g.add(firstProcess); err != nil {
		return err
	}
	if err := os.Chdir(cwd); err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	fds := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	for _, f := range p.open {
		fds = append(fds, f.Fd())
	}
	var errno syscall.Errno
	raw := func(trap, a, b, c, d uintptr) (r uintptr) {
		if errno == 0 {
			r, _, errno = syscall.RawSyscall6(trap, a, b, c, d, 0, 0)
		}
		return r
	}
	for i := range fds {
		fds[i] = raw(syscall.SYS_FCNTL, fds[i], syscall.F_DUPFD_CLOEXEC, uintptr(len(fds)), 0)
	}
	for i, fd := range fds {
		raw(syscall.SYS_DUP3, fd, uintptr(i), 0, 0)
	}
	raw(syscall.SYS_SETPRIORITY, syscall.PRIO_PROCESS, 0, 0, 0)
	all := limits()
	for i := range all {
		raw(syscall.SYS_PRLIMIT64, 0, all[i].resource, uintptr(unsafe.Pointer(&all[i].value)), 0)
	}
	raw(syscall.SYS_SETGROUPS, 0, 0, 0, 0)
	raw(syscall.SYS_SETRESGID, uid, uid, uid, 0)
	raw(syscall.SYS_SETRESUID, uid, uid, uid, 0)
	raw(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// runInit becomes the program that the kernel's command line names, with the console as
// it is, for a person who debugs it.
func runInit(cmdline string) error {
	program := option(cmdline, "lab.init")
	return os.NewSyscallError("exec "+program, syscall.Exec(program, []string{path.Base(program)}, []string{"PATH=/bin:/bbin", "HOME=/tmp"}))
}
