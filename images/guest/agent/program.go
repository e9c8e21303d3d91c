package main

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"kernellab/images/guest/mailbox"
)

// program is one process made for the host, and what it left.
type program struct {
	pid    int
	order  []byte // what its gate gives it
	gate   *os.File
	status *os.File
	out    *output
	ended  chan struct{} // closed with exit set
	exit   mailbox.Exit

	// Under the server's lock.
	released bool
	over     bool
	ws       syscall.WaitStatus
	ru       syscall.Rusage
	exited   chan struct{} // closed with over, ws and ru set
}

// start gives a held process its program.
func (s *server) start(r mailbox.Request) (pid, timer int, err error) {
	open, err := openAll(r.Open)
	if err != nil {
		return 0, 0, err
	}
	if !r.Init { // the first process keeps them until its exec
		defer closeAll(open)
	}
	if r.Landed {
		if err := os.Rename(landing, r.Path); err != nil {
			return 0, 0, err
		}
	}
	if err := show(r.Path); err != nil {
		return 0, 0, err
	}
	argv := r.Args
	if len(argv) == 0 {
		argv = []string{path.Base(r.Path)}
	}
	order, err := s.order.encode(r.Path, argv, r.Env)
	if err != nil {
		return 0, 0, err
	}
	if r.Init {
		timer, err = s.startInit(order, open, time.Duration(r.Limit))
		return firstProcess, timer, err
	}
	p := s.takeSpare()
	if p != nil && len(open) > 0 {
		s.dismiss(p) // it was made before the files were opened
		p = nil
	}
	if p == nil {
		if p, err = s.hold(open...); err != nil {
			return 0, 0, err
		}
	}
	if r.Keep > 0 {
		p.out.limit(min(r.Keep, keepMax))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.order = order
	return p.pid, 0, nil
}

// takeSpare returns the process that was made before the first request, once.
func (s *server) takeSpare() *program {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.spare
	s.spare = nil
	return p
}

// dismiss ends a process that waits for its order.
func (s *server) dismiss(p *program) {
	syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.ended
}

// hold makes a process that waits for its order and has open files as
// descriptors 3, 4 and so on.
func (s *server) hold(open ...*os.File) (_ *program, err error) {
	p := &program{
		out:    &output{keep: keepDefault},
		ended:  make(chan struct{}),
		exited: make(chan struct{}),
	}
	var theirs []*os.File // the child's ends, closed here once it has them
	defer func() { closeAll(theirs) }()
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, err
	}
	theirs = append(theirs, null)
	var ours []*os.File
	defer func() {
		if err != nil {
			closeAll(ours)
		}
	}()
	pipe := func(childReads bool) *os.File {
		rd, wr, e := os.Pipe()
		if e != nil {
			err = e
			return nil
		}
		if childReads {
			rd, wr = wr, rd
		}
		ours, theirs = append(ours, rd), append(theirs, wr)
		return rd
	}
	stdout, stderr, status := pipe(false), pipe(false), pipe(false)
	gate := pipe(true)
	if err != nil {
		return nil, err
	}
	p.gate, p.status = gate, status

	s.mu.Lock()
	defer s.mu.Unlock()
	p.pid, err = forkHeld(held{stdin: null, stdout: theirs[1], stderr: theirs[2], status: theirs[3], gate: theirs[4], open: open}, s.order)
	if err != nil {
		return nil, err
	}
	s.programs[p.pid] = p
	if err = s.group.add(p.pid); err != nil {
		syscall.Kill(p.pid, syscall.SIGKILL)
		return nil, err
	}
	p.out.collect(1, stdout)
	p.out.collect(2, stderr)
	go s.finish(p)
	return p, nil
}

// openAll opens files of the kernel for a program, which gets no more of root's
// rights than their descriptors.
func openAll(files []string) (open []*os.File, err error) {
	for _, file := range files {
		if file != path.Clean(file) || !strings.HasPrefix(file, "/proc/") && !strings.HasPrefix(file, "/sys/") {
			err = fmt.Errorf("open %s for the program: only files below /proc and /sys can be", file)
		}
		var fd int
		if err == nil {
			// Not by os.OpenFile, which would have Go's runtime poll it.
			fd, err = syscall.Open(file, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
			err = os.NewSyscallError("open "+file, err)
		}
		if err != nil {
			closeAll(open)
			return nil, err
		}
		open = append(open, os.NewFile(uintptr(fd), file))
	}
	return open, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// release returns a program that was not let go before, and what lets it go.
func (s *server) release(pid int) (*program, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.programs[pid]
	switch {
	case p == nil:
		return nil, nil, fmt.Errorf("no program with pid %d", pid)
	case p.released:
		return nil, nil, fmt.Errorf("program %d was let go before", pid)
	}
	p.released = true
	return p, func() {
		p.gate.Write(p.order) // a process killed meanwhile does not mind
		p.gate.Close()
	}, nil
}

// kill ends a program and all that it started.
func (s *server) kill(p *program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.over {
		syscall.Kill(-p.pid, syscall.SIGKILL)
		syscall.Kill(p.pid, syscall.SIGKILL)
		s.killAll(p)
	}
}

// finish waits for a program and for what it left behind.
func (s *server) finish(p *program) {
	<-p.exited
	e := &p.exit
	e.Code, e.Signal = p.ws.ExitStatus(), 0
	if p.ws.Signaled() {
		e.Code, e.Signal, e.Core = -1, int(p.ws.Signal()), p.ws.CoreDump()
	}
	e.UserUS = p.ru.Utime.Nano() / 1000
	e.SystemUS = p.ru.Stime.Nano() / 1000
	var errno syscall.Errno
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&errno)), unsafe.Sizeof(errno))
	p.status.SetReadDeadline(time.Now().Add(grace)) // another held process may keep it open
	if n, _ := p.status.Read(raw); n == len(raw) && errno != 0 {
		e.ExecError = errno.Error()
	}
	p.status.Close()

	if left := s.leftover(p); len(left) > 0 {
		e.Leftover = len(left)
		e.Killed = s.sweep(p)
	}
	p.out.end()
	s.mu.Lock()
	if !p.released {
		p.released = true
		p.gate.Close()
	}
	s.mu.Unlock()
	close(p.ended)
}

// sweep gives what a program left behind a moment to end, then kills it, and
// returns how many it had to kill.
func (s *server) sweep(p *program) int {
	limit := time.Now().Add(grace)
	killed := map[int]bool{}
	for {
		left := s.leftover(p)
		now := time.Now()
		if len(left) == 0 || now.After(limit.Add(20*grace)) {
			return len(killed)
		}
		if now.After(limit) {
			for _, pid := range left {
				killed[pid] = true
				syscall.Kill(pid, syscall.SIGKILL)
			}
			s.mu.Lock()
			s.killAll(p)
			s.mu.Unlock()
		}
		s.nextReap(grace / 10)
	}
}

// killAll kills every process but the agent, while no other program than p lives.
// The kernel does that in one go, and so is faster than those that make others
// faster than they can be listed. It is called with mu held.
func (s *server) killAll(p *program) {
	if s.alone(p) {
		syscall.Kill(-1, syscall.SIGKILL)
	}
}

// alone reports whether no other program than p lives. It is called with mu held.
func (s *server) alone(p *program) bool {
	for _, q := range s.programs {
		if q != p && !q.over {
			return false
		}
	}
	return true
}

// leftover lists the living processes of the programs' user. While another
// program runs, those outside p's session might be its, and are left alone.
func (s *server) leftover(p *program) []int {
	s.mu.Lock()
	alone := s.alone(p)
	s.mu.Unlock()
	if childless() {
		return nil
	}
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var left []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == firstProcess {
			continue
		}
		st, err := os.ReadFile("/proc/" + name + "/status")
		if err != nil || !ordinary(string(st)) {
			continue
		}
		if !alone && session(name) != p.pid {
			continue
		}
		left = append(left, pid)
	}
	return left
}

// childless reports whether this process has no child, running or dead. Orphans
// become its children, so then there is no process left but it and the kernel's
// own. Looking through /proc takes an emulated guest tens of milliseconds.
func childless() bool {
	const all = 0 // P_ALL
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, all, 0, 0, syscall.WEXITED|syscall.WNOHANG|syscall.WNOWAIT, 0, 0)
	return errno == syscall.ECHILD
}

// ordinary reports whether a process, by its status file, is alive and the
// ordinary user's. The owner of its directory in /proc would not tell: a
// process that may not be dumped belongs to root there.
func ordinary(status string) bool {
	mine := false
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "State:"); ok {
			if v = strings.TrimSpace(v); strings.HasPrefix(v, "Z") || strings.HasPrefix(v, "X") {
				return false
			}
		}
		if v, ok := strings.CutPrefix(line, "Uid:"); ok {
			ids := strings.Fields(v)
			mine = len(ids) > 0 && ids[0] == strconv.Itoa(uid)
			break
		}
	}
	return mine
}

// session returns the session of a process, or 0.
func session(pid string) int {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything, parentheses included.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) < 4 {
		return 0
	}
	sid, _ := strconv.Atoi(f[3])
	return sid
}

// output collects what a program prints, in the order it arrives.
type output struct {
	keep    int
	wg      sync.WaitGroup
	files   []*os.File
	mu      sync.Mutex
	data    []byte
	pieces  []mailbox.Piece
	dropped int64
}

// limit sets how much is kept.
func (o *output) limit(keep int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep = keep
}

func (o *output) collect(stream int, f *os.File) {
	o.files = append(o.files, f)
	o.wg.Go(func() {
		defer f.Close()
		buf := make([]byte, 16<<10)
		for {
			n, err := f.Read(buf)
			o.add(stream, buf[:n])
			if err != nil {
				return
			}
		}
	})
}

func (o *output) add(stream int, p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := len(o.pieces) - 1
	same := last >= 0 && o.pieces[last].Stream == stream
	n := min(len(p), o.keep-len(o.data))
	if !same && len(o.pieces) == piecesMax {
		n = 0
	}
	o.dropped += int64(len(p) - n)
	if n == 0 {
		return
	}
	o.data = append(o.data, p[:n]...)
	if same {
		o.pieces[last].Len += n
	} else {
		o.pieces = append(o.pieces, mailbox.Piece{Stream: stream, Len: n})
	}
}

// end stops collecting: what a program printed before it ended is in its pipes,
// and whoever else still holds them does not keep the host waiting.
func (o *output) end() {
	for _, f := range o.files {
		f.SetReadDeadline(time.Now().Add(grace))
	}
	o.wg.Wait()
}
