package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"kernellab/images/guest/mailbox"
)

const (
	// keepDefault is how much of a program's output is kept. A program that
	// floods costs the guest no more memory than this.
	keepDefault = 256 << 10
	keepMax     = 4 << 20
	piecesMax   = 8192

	// grace is what processes left over by a program have to end by
	// themselves, and its output to arrive.
	grace = 250 * time.Millisecond
)

// server answers the host's requests, one after the other.
type server struct {
	exchange func(*mailbox.Reply, []byte) (mailbox.Request, error) // with the host
	order    *order                                                // where a held process reads its order to
	group    group                                                 // that programs are in
	init     *initProgram                                          // that the agent is to become, nil for none

	mu       sync.Mutex
	spare    *program // made before the first request, nil once it is taken
	programs map[int]*program
	reaped   chan struct{} // closed and replaced whenever a process was reaped
}

func newServer(exchange func(*mailbox.Reply, []byte) (mailbox.Request, error)) *server {
	return &server{
		exchange: exchange,
		order:    new(order),
		programs: map[int]*program{},
		reaped:   make(chan struct{}),
	}
}

// serve says hello and answers requests. It returns when the mailbox is broken.
func (s *server) serve(hello mailbox.Reply) error {
	reply, blob := hello, []byte(nil)
	for {
		r, err := s.send(reply, blob)
		if err != nil {
			return err
		}
		reply, blob = s.answer(r)
	}
}

// send hands a reply to the host, in as many pieces as its blob needs, and returns
// the next request.
func (s *server) send(reply mailbox.Reply, blob []byte) (mailbox.Request, error) {
	for len(blob) > mailbox.MaxBlob {
		piece := mailbox.Reply{More: true}
		r, err := s.exchange(&piece, blob[:mailbox.MaxBlob])
		if err != nil || r.Op != mailbox.OpNext {
			return r, err
		}
		blob = blob[mailbox.MaxBlob:]
	}
	return s.exchange(&reply, blob)
}

// answer does what a request asks for.
func (s *server) answer(r mailbox.Request) (reply mailbox.Reply, blob []byte) {
	var err error
	switch r.Op {
	case mailbox.OpStart:
		reply.PID, reply.Timer, err = s.start(r)
	case mailbox.OpRun:
		reply.Exit, blob, err = s.run(r)
	case mailbox.OpRead:
		blob, err = os.ReadFile(r.Path)
	case mailbox.OpStore:
		err = store(landing, r.Path, r.Size)
	case mailbox.OpTrace:
		err = mountTracing()
	case mailbox.OpWrite:
		err = writeTracing(r.Path, r.Text, r.Append)
	default:
		err = fmt.Errorf("unknown request %q", r.Op)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	return reply, blob
}

// run lets a program go and returns how it ended. One that takes too long is
// killed.
func (s *server) run(r mailbox.Request) (*mailbox.Exit, []byte, error) {
	if r.PID == firstProcess && s.init != nil {
		s.init.become(s.group)
	}
	p, release, err := s.release(r.PID)
	if err != nil {
		return nil, nil, err
	}
	limit := time.NewTimer(time.Duration(r.Limit))
	defer limit.Stop()
	release()
	stuck := false
	select {
	case <-p.ended:
		return s.exit(p, false, false)
	case <-limit.C:
	}
	s.kill(p)
	patience := time.NewTimer(mailbox.Patience)
	defer patience.Stop()
	select {
	case <-p.ended: // finish sees to the rest of its processes
	case <-patience.C:
		stuck = true
	}
	return s.exit(p, true, stuck)
}

// exit is what there is to say of a program's end.
func (s *server) exit(p *program, timedOut, stuck bool) (*mailbox.Exit, []byte, error) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	e := mailbox.Exit{Code: -1}
	if !stuck {
		e = p.exit
	}
	e.TimedOut, e.Stuck = timedOut, stuck
	e.Pieces, e.Dropped = p.out.pieces, p.out.dropped
	return &e, p.out.data, nil
}

// reap collects every process that ends: the first process inherits orphans.
func (s *server) reap() {
	chld := make(chan os.Signal, 1)
	signal.Notify(chld, syscall.SIGCHLD)
	for range chld {
		for {
			var ws syscall.WaitStatus
			var ru syscall.Rusage
			// The lock keeps a process that ends at once from being
			// reaped before start has entered it.
			s.mu.Lock()
			pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, &ru)
			if err == syscall.EINTR {
				s.mu.Unlock()
				continue
			}
			if err != nil || pid <= 0 {
				s.mu.Unlock()
				break
			}
			if p := s.programs[pid]; p != nil && !p.over {
				p.over = true
				p.ws, p.ru = ws, ru
				close(p.exited)
			}
			close(s.reaped)
			s.reaped = make(chan struct{})
			s.mu.Unlock()
		}
	}
}

// nextReap waits until a process has been reaped or d has passed.
func (s *server) nextReap(d time.Duration) {
	s.mu.Lock()
	c := s.reaped
	s.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}
