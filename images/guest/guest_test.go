package guest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/images/guest/wire"
)

// fakeAgent speaks the guest's side of the line as the test says.
type fakeAgent struct {
	line net.Conn
	link *wire.Link
}

// newFake returns a host's console and the agent at its other end. answer is
// called for each request and may be nil, for an agent that never answers.
func newFake(t *testing.T, answer func(wire.Request) []wire.Reply) (net.Conn, *fakeAgent) {
	host, line := net.Pipe()
	f := &fakeAgent{line: line}
	f.link = wire.NewLink(line, wire.Config{Side: wire.Guest, Text: func([]byte) {}, Deliver: func(msg []byte) {
		var r wire.Request
		if _, err := wire.Split(msg, &r); err != nil {
			t.Errorf("request: %v", err)
		}
		if answer == nil {
			return
		}
		go func() {
			for _, reply := range answer(r) {
				reply.ID = r.ID
				blob := []byte(nil)
				if r.Op == wire.OpRead && reply.More {
					blob = []byte("piece ")
				}
				if reply.Exit != nil {
					blob = []byte("outerr")
				}
				err := f.link.Send(context.Background(), wire.Join(&reply, blob))
				if err != nil && !errors.Is(err, wire.ErrClosed) {
					t.Errorf("reply: %v", err)
				}
			}
		}()
	}})
	go f.link.Greet(t.Context(), 10*time.Millisecond)
	t.Cleanup(func() {
		f.link.Close()
		line.Close()
		host.Close()
	})
	return host, f
}

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAgent(t *testing.T) {
	var mu sync.Mutex
	var asked []wire.Request
	console, _ := newFake(t, func(r wire.Request) []wire.Reply {
		mu.Lock()
		asked = append(asked, r)
		mu.Unlock()
		switch r.Op {
		case wire.OpStart:
			return []wire.Reply{{PID: 83}}
		case wire.OpRead:
			if r.Path == "/absent" {
				return []wire.Reply{{Error: "open /absent: no such file or directory"}}
			}
			return []wire.Reply{{More: true}, {More: true}, {}}
		case wire.OpGo:
			return []wire.Reply{{More: true}, {Exit: &wire.Exit{Code: 3, Leftover: 1, Dropped: 5, UserUS: 1500, Pieces: []wire.Piece{{Stream: 1, Len: 3}, {Stream: 2, Len: 3}}}}}
		}
		return []wire.Reply{{}}
	})
	ctx := short(t)
	a, err := Attach(ctx, console, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Ping(ctx); err != nil {
		t.Error(err)
	}
	p, err := a.Start(ctx, Program{Path: "/bin/fork-new"})
	if err != nil || p.PID != 83 {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := p.Go(ctx); err != nil {
		t.Error(err)
	}
	e, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := Exit{Code: 3, Leftover: 1, Dropped: 5, User: 1500 * time.Microsecond, Output: []Chunk{{Stdout, []byte("out")}, {Stderr, []byte("err")}}}
	if d := cmp.Diff(want, e); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if string(e.Stdout()) != "out" || string(e.Stderr()) != "err" || string(e.Merged()) != "outerr" || !e.Truncated() {
		t.Errorf("%q %q %q", e.Stdout(), e.Stderr(), e.Merged())
	}
	if b, err := a.ReadFile(ctx, "/proc/kallsyms"); err != nil || string(b) != "piece piece " {
		t.Errorf("%q, %v", b, err)
	}
	var refused *AgentError
	if _, err := a.ReadFile(ctx, "/absent"); !errors.As(err, &refused) {
		t.Errorf("%v, want an AgentError", err)
	}
	if err := p.Kill(ctx); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if d := cmp.Diff(wire.Request{ID: 2, Op: wire.OpStart, Path: "/bin/fork-new", Env: []string{"PATH=/bin:/bbin", "HOME=/tmp"}}, asked[1]); d != "" {
		t.Errorf("start (-want +got)\n%s", d)
	}
}

func TestDeadlines(t *testing.T) {
	console, _ := newFake(t, nil)
	a, err := Attach(short(t), console, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	if a.Err() != nil {
		t.Errorf("the session is over: %v", a.Err())
	}
}

// TestResumed pairs with an agent that said hello before the console was read,
// as it has in a snapshot.
func TestResumed(t *testing.T) {
	console, _ := newFake(t, func(wire.Request) []wire.Reply { return []wire.Reply{{}} })
	a, err := Attach(short(t), console, Options{Resumed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Ping(short(t)); err != nil {
		t.Error(err)
	}
}

func TestNeverReady(t *testing.T) {
	host, line := net.Pipe()
	go io.WriteString(line, "[    0.000000] Linux version\r\nand nothing more")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var log bytes.Buffer
	if _, err := Attach(ctx, host, Options{Log: &log}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}

const oops = "[    2.100000] Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] PREEMPT SMP NOPTI\r\n" +
	"[    2.100001] RIP: 0010:do_sync_core+0x1/0x30\r\n" +
	"[    2.100002] Kernel panic - not syncing: Fatal exception\r\n" +
	"[    2.100003] ---[ end Kernel panic - not syncing: Fatal exception ]---\r\n"

func TestPanicWhileBooting(t *testing.T) {
	host, line := net.Pipe()
	go func() {
		io.WriteString(line, "[    0.000000] Linux version\r\n"+oops)
		line.Close()
	}()
	var log bytes.Buffer
	_, err := Attach(short(t), host, Options{Log: &log})
	var p *PanicError
	if !errors.As(err, &p) {
		t.Fatalf("%v, want a PanicError", err)
	}
	if want := strings.Split(strings.TrimSpace(strings.ReplaceAll(oops, "\r", "")), "\n"); !slices.Equal(p.Lines, want) {
		t.Errorf("lines %q", p.Lines)
	}
	if want := "kernel panic: Oops: general protection fault"; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q in it", err, want)
	}
	if !strings.Contains(log.String(), "end Kernel panic") {
		t.Errorf("log %q", log.String())
	}
}

func TestPanicWhileWaiting(t *testing.T) {
	console, f := newFake(t, nil)
	a, err := Attach(short(t), console, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	go io.WriteString(f.line, "\n"+oops)
	err = a.Ping(short(t))
	var p *PanicError
	if !errors.As(err, &p) {
		t.Errorf("%v, want a PanicError", err)
	}
	select {
	case <-a.Panicked():
	default:
		t.Error("Panicked is open")
	}
	if got := a.Tail(1); len(got) != 1 || !strings.Contains(got[0], "end Kernel panic") {
		t.Errorf("tail %q", got)
	}
}

func TestConsoleEnds(t *testing.T) {
	console, f := newFake(t, nil)
	a, err := Attach(short(t), console, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.line.Close()
	if err := a.Ping(short(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestIsPanic(t *testing.T) {
	for line, want := range map[string]bool{
		"[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b": true,
		"[    2.100000][    T1] Oops: 0000 [#1] PREEMPT SMP PTI":                            true,
		"[    2.100000] Oops [#1]": true,
		"[    2.100000] general protection fault, probably for non-canonical: 0000 [#1] SMP":          true,
		"[    2.100000] double fault: 0000 [#1] SMP":                                                  true,
		"[    2.100000] BUG: kernel NULL pointer dereference, address: 0000000000000000":              true,
		"[    2.100000] BUG: unable to handle page fault for address: ffff":                           true,
		"[    2.100000] Unable to handle kernel NULL pointer dereference at virtual address 00000000": true,
		"[    2.100000] kernel BUG at kernel/fork.c:100!":                                             true,
		"QUJDREVGR0hJ[    2.100000] Kernel panic - not syncing: x":                                    true,
		"[    2.100000] BUG: x[83]: segfault at 0 ip 0000000000000000 sp 00007ffd error 14":           false,
		"[    2.100000] Kernel panic - [83]: segfault at 0 ip 0000000000000000":                       false,
		"[    2.100000] traps: Oops[83] general protection fault ip:401000 sp:7ffd error:0":           false,
		"[    2.100000] Oops[84]: unhandled signal 11 code 0x1 at 0x0000000000000000":                 false,
		"[    0.000000] Command line: console=ttyS0 oops=panic panic=-1":                              false,
		"[    0.000000] Kernel command line: panic=-1":                                                false,
		"": false,
	} {
		if got := isPanic(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestTail(t *testing.T) {
	w := newWatcher(nil)
	for range tailLines + 10 {
		w.write([]byte("old\r\n"))
	}
	w.write([]byte("one\r\ntwo\r\nthr"))
	w.write([]byte("ee"))
	if d := cmp.Diff([]string{"one", "two", "three"}, w.last(3)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if n := len(w.last(10000)); n != tailLines+1 {
		t.Errorf("%d lines kept", n)
	}
	if len(w.last(0)) != 0 || len(w.last(-1)) != 0 {
		t.Error("lines for no lines")
	}
}

func FuzzExit(f *testing.F) {
	f.Add(3, 4, []byte("outputs"))
	f.Fuzz(func(t *testing.T, a, b int, blob []byte) {
		e, err := exitFrom(wire.Exit{Pieces: []wire.Piece{{Stream: 1, Len: a}, {Stream: 2, Len: b}}}, blob)
		if err == nil && len(e.Merged()) > len(blob) {
			t.Errorf("%d bytes out of %d", len(e.Merged()), len(blob))
		}
	})
}

// TestSessionGoesOn takes a session over while a program runs, as a copy of its
// guest does: the first host's end is gone, and the second is told of the end.
func TestSessionGoesOn(t *testing.T) {
	first, line := net.Pipe()
	rw := &switched{rw: line, ready: make(chan struct{})}
	end := make(chan struct{})
	var link *wire.Link
	link = wire.NewLink(rw, wire.Config{Side: wire.Guest, Text: func([]byte) {}, Deliver: func(msg []byte) {
		var r wire.Request
		wire.Split(msg, &r)
		go func() {
			reply := wire.Reply{ID: r.ID, PID: 83}
			if r.Op == wire.OpGo {
				reply.More = true
			}
			link.Send(context.Background(), wire.Join(&reply, nil))
			if r.Op == wire.OpGo {
				<-end
				link.Send(context.Background(), wire.Join(&wire.Reply{ID: r.ID, Exit: &wire.Exit{Code: 4}}, nil))
			}
		}()
	}})
	defer link.Close()
	go link.Greet(t.Context(), 10*time.Millisecond)
	ctx := short(t)
	a, err := Attach(ctx, first, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Start(ctx, Program{Path: "/bin/x"})
	if err == nil {
		err = p.Go(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	session := p.Session()

	second, line := net.Pipe()
	rw.to(line)
	a.Close()
	b, q := Resume(second, Options{}, session)
	defer b.Close()
	close(end)
	e, err := q.Wait(ctx)
	if err != nil || e.Code != 4 || q.PID != p.PID {
		t.Errorf("%+v of process %d, %v, want code 4 of %d", e, q.PID, err, p.PID)
	}
	if err := b.Ping(ctx); err != nil {
		t.Errorf("another request: %v", err)
	}
}

// switched is a line whose other end is exchanged once.
type switched struct {
	mu    sync.Mutex
	rw    net.Conn
	moved bool
	ready chan struct{}
}

func (s *switched) to(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rw, s.moved = c, true
	close(s.ready)
}

func (s *switched) now() (net.Conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rw, s.moved
}

func (s *switched) Read(b []byte) (int, error) {
	c, moved := s.now()
	n, err := c.Read(b)
	if err == nil || moved {
		return n, err
	}
	<-s.ready
	c, _ = s.now()
	return c.Read(b)
}

func (s *switched) Write(b []byte) (int, error) {
	c, _ := s.now()
	return c.Write(b)
}
