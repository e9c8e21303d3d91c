package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/images/guest/mailbox"
)

// newHost makes a server that starts programs on this machine, as the ordinary user. Its
// programs are collected one by one: what else is a child of the test's is not its own.
//
// A program that the server kills takes every process of the guest with it, unless
// another program lives. Here one always does.
func newHost(t *testing.T) *server {
	t.Helper()
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := try.Run(); err != nil {
		t.Skipf("only root can start programs as the ordinary user: %v", err)
	}
	// A program of the guest's may have 128 processes, and here its user may have some.
	threads, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	others := 0
	for _, path := range threads {
		var info syscall.Stat_t
		if err := syscall.Stat(path, &info); err == nil && info.Uid == uid {
			others++
		}
	}
	if others > 100 {
		t.Skipf("user %d has %d threads here, and a program's limit is 128", uid, others)
	}
	s := newServer(nil)
	s.programs[0] = &program{}
	if s.alone(nil) {
		t.Fatal("a killed program would take this machine with it")
	}
	// Orphans become the agent's children, as the first process is that of all.
	const setChildSubreaper = 36
	adopt := func(on uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, on, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	adopt(1)
	t.Cleanup(func() {
		for collect(s, -1) {
		}
		adopt(0)
	})
	return s
}

// collect does for one child of the test's, or for any with -1, what [server.reap] does
// for all that the first process has. It reports whether there was one.
func collect(s *server, pid int) bool {
	var ws syscall.WaitStatus
	var ru syscall.Rusage
	pid, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, &ru)
	if err != nil || pid <= 0 {
		return err == syscall.EINTR
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.programs[pid]; p != nil && !p.over {
		p.over, p.ws, p.ru = true, ws, ru
		close(p.exited)
	}
	return true
}

// start has a server start a program, and collects its process when it ends.
func start(t *testing.T, s *server, r mailbox.Request) (pid int) {
	t.Helper()
	r.Op = mailbox.OpStart
	reply, _ := s.answer(r)
	if reply.Error != "" || reply.PID <= 0 {
		t.Fatalf("start: %+v", reply)
	}
	s.mu.Lock()
	p := s.programs[reply.PID]
	s.mu.Unlock()
	done := make(chan struct{})
	t.Cleanup(func() {
		syscall.Kill(p.pid, syscall.SIGKILL)
		<-done
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.exited:
				<-p.ended
				return
			case <-tick.C:
				collect(s, p.pid)
			}
		}
	}()
	return reply.PID
}

// shell is a request to run commands.
func shell(commands string) mailbox.Request {
	return mailbox.Request{Path: "/bin/sh", Args: []string{"sh", "-c", commands}, Env: []string{"NAME=value"}}
}

// A program runs as the ordinary user, with its arguments and nothing of the agent's,
// and its end and output are reported.
func TestProgram(t *testing.T) {
	long := int64(time.Minute)
	for name, c := range map[string]struct {
		start mailbox.Request
		limit int64
		exit  mailbox.Exit
		out   string
	}{
		"ends":             {shell("exit 3"), long, mailbox.Exit{Code: 3}, ""},
		"prints":           {shell("echo $NAME"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 6}}}, "value\n"},
		"complains":        {shell("echo $0 >&2"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 2, Len: 3}}}, "sh\n"},
		"kills itself":     {shell("kill -9 $$"), long, mailbox.Exit{Code: -1, Signal: 9}, ""},
		"is who it is":     {shell("id -u; id -g; id -G; pwd"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 20}}}, "1000\n1000\n1000\n/tmp\n"},
		"has limits":       {shell("ulimit -c; ulimit -n; ulimit -l"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 8}}}, "0\n256\n0\n"},
		"reads nothing":    {shell("cat; echo $?"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 2}}}, "0\n"},
		"gains nothing":    {shell("grep NoNewPrivs /proc/self/status"), long, mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 14}}}, "NoNewPrivs:\t1\n"},
		"keeps some":       {mailbox.Request{Path: "/bin/sh", Args: []string{"sh", "-c", "echo 123456789"}, Keep: 4}, long, mailbox.Exit{Dropped: 6, Pieces: []mailbox.Piece{{Stream: 1, Len: 4}}}, "1234"},
		"is not there":     {mailbox.Request{Path: "/bin/no-such-program"}, long, mailbox.Exit{Code: 127, ExecError: syscall.ENOENT.Error()}, ""},
		"is no program":    {mailbox.Request{Path: "/etc/passwd"}, long, mailbox.Exit{Code: 127, ExecError: syscall.EACCES.Error()}, ""},
		"takes too long":   {shell("exec sleep 1000"), int64(100 * time.Millisecond), mailbox.Exit{Code: -1, Signal: 9, TimedOut: true}, ""},
		"leaves a process": {shell("sleep 1000 >/dev/null 2>&1 & exit 0"), long, mailbox.Exit{Leftover: 1, Killed: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newHost(t)
			pid := start(t, s, c.start)
			reply, out := s.answer(mailbox.Request{Op: mailbox.OpRun, PID: pid, Limit: c.limit})
			if reply.Error != "" || reply.Exit == nil {
				t.Fatalf("run: %+v", reply)
			}
			if diff := cmp.Diff(c.exit, *reply.Exit, cmpopts.IgnoreFields(mailbox.Exit{}, "UserUS", "SystemUS"), cmpopts.EquateEmpty()); diff != "" || string(out) != c.out {
				t.Errorf("printed %q, want %q; -want +got\n%s", out, c.out, diff)
			}
		})
	}
}

// A program that nobody lets go runs nothing.
func TestProgramIsHeld(t *testing.T) {
	s := newHost(t)
	made := filepath.Join(t.TempDir(), "made")
	pid := start(t, s, shell("echo > "+made))
	ours, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err != nil || got != ours {
		t.Errorf("the process executes %q, %v, want %q", got, err, ours)
	}
	s.mu.Lock()
	p := s.programs[pid]
	s.mu.Unlock()
	s.kill(p)
	<-p.ended
	if reply, _ := s.answer(mailbox.Request{Op: mailbox.OpRun, PID: pid}); !strings.Contains(reply.Error, "was let go before") {
		t.Errorf("a dead process is let go: %+v", reply)
	}
	if p.exit.Signal != int(syscall.SIGKILL) {
		t.Errorf("%+v", p.exit)
	}
	s.kill(p) // it is over: nobody is sent a signal
	if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program ran: %v", err)
	}
}

// A process that starts with the guest takes the first program.
func TestSpareStarts(t *testing.T) {
	s := newHost(t)
	p, err := s.hold()
	if err != nil {
		t.Fatal(err)
	}
	s.spare = p
	if pid := start(t, s, shell("exit 4")); pid != p.pid {
		t.Errorf("process %d, want %d, which was made before", pid, p.pid)
	}
	if reply, _ := s.answer(mailbox.Request{Op: mailbox.OpRun, PID: p.pid, Limit: 1 << 40}); reply.Exit == nil || reply.Exit.Code != 4 {
		t.Errorf("%+v", reply)
	}
}

// A program has the files that were opened for it and no others, and not the process
// that was made before they were.
func TestOpensFiles(t *testing.T) {
	s := newHost(t)
	spare, err := s.hold()
	if err != nil {
		t.Fatal(err)
	}
	s.spare = spare
	collected := make(chan struct{})
	go func() { // what reap does in the guest
		defer close(collected)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-spare.exited:
				return
			case <-tick.C:
				collect(s, spare.pid)
			}
		}
	}()
	files := []string{"/proc/version", "/proc/self/comm", "/proc/uptime", "/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/cpuinfo", "/proc/filesystems", "/proc/devices"}
	r := shell("for i in 3 4 5 6 7 8 9 10 11; do readlink /proc/$$/fd/$i; done; readlink /proc/$$/fd/12 || echo no more")
	r.Open = files
	pid := start(t, s, r)
	<-collected
	if pid == spare.pid {
		t.Error("the program is a process that was made before its files were open")
	}
	files[1] = fmt.Sprintf("/proc/%d/comm", os.Getpid())
	reply, out := s.answer(mailbox.Request{Op: mailbox.OpRun, PID: pid, Limit: int64(time.Minute)})
	if want := strings.Join(files, "\n") + "\nno more\n"; reply.Exit == nil || reply.Exit.Code != 0 || string(out) != want {
		t.Errorf("%+v, printed %q, want %q", reply, out, want)
	}
}

// The mailbox of an agent whose system call nobody stops holds what it said itself.
func TestMailbox(t *testing.T) {
	p := &post{memory: make([]byte, mailbox.Pages*pageSize), directory: 0x1000}
	if _, err := p.exchange(&mailbox.Reply{PID: 5}, nil); err == nil {
		t.Error("a reply is taken for a request")
	}
	if _, err := p.exchange(&mailbox.Reply{}, make([]byte, mailbox.MaxMessage)); !errors.Is(err, mailbox.ErrMessage) {
		t.Errorf("%v, want %v", err, mailbox.ErrMessage)
	}
}

// Pages of a mapping are where the kernel says, each somewhere else.
func TestFrames(t *testing.T) {
	m, err := syscall.Mmap(-1, 0, 3*pageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(m)
	if pages, err := frames(m); err == nil {
		t.Errorf("pages that nobody has touched are at %#x", pages)
	}
	pages, err := pin(m)
	if err != nil {
		t.Skipf("only root sees where its memory is: %v", err)
	}
	seen := map[uint64]bool{}
	for _, p := range pages {
		seen[p] = true
		if p%pageSize != 0 {
			t.Errorf("a page at %#x", p)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%#x, want three pages", pages)
	}
}

// What is no terminal has no settings.
func TestSettings(t *testing.T) {
	if _, err := settings("/dev/null"); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("%v, want %v", err, syscall.ENOTTY)
	}
	if _, err := settings("/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
}

func TestMakeThreads(t *testing.T) {
	makeThreads()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil || len(tasks) < 8 {
		t.Errorf("%d threads, %v, want 8 at least", len(tasks), err)
	}
}

func TestMountError(t *testing.T) {
	if err := mount("none", "/absent", "no-such-filesystem", ""); err == nil || !strings.HasPrefix(err.Error(), "mount no-such-filesystem on /absent: ") {
		t.Errorf("%v", err)
	}
}
