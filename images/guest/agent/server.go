package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"kernellab/images/guest/wire"
)

const (
	// keepDefault is how much of a program's output is kept. A program that
	// floods costs the guest no more memory than this.
	keepDefault = 256 << 10
	keepMax     = 4 << 20
	piecesMax   = 8192

	// readPiece is one message of a file's content.
	readPiece = 512 << 10

	// grace is what processes left over by a program have to end by
	// themselves, and its output to arrive.
	grace = 250 * time.Millisecond
)

// server answers the host's requests, each in a goroutine of its own.
type server struct {
	link   *wire.Link
	broken chan error
	parcel parcel
	order  *order // where a held process reads its order to

	mu       sync.Mutex
	spare    *program // made before the first request, nil once it is taken
	programs map[int]*program
	reaped   chan struct{} // closed and replaced whenever a process was reaped
}

func newServer() *server {
	return &server{
		broken:   make(chan error, 1),
		order:    new(order),
		programs: map[int]*program{},
		reaped:   make(chan struct{}),
	}
}

func (s *server) deliver(msg []byte) {
	var r wire.Request
	if _, err := wire.Split(msg, &r); err != nil {
		return // the host's program is broken; it will notice by itself
	}
	go s.handle(r)
}

func (s *server) handle(r wire.Request) {
	reply := wire.Reply{ID: r.ID}
	var blob []byte
	err := error(nil)
	switch r.Op {
	case wire.OpPing:
	case wire.OpStart:
		reply.PID, err = s.start(r)
	case wire.OpGo:
		err = s.run(r)
		if err == nil {
			reply.Exit, blob, err = s.wait(r.PID)
		}
	case wire.OpWait:
		reply.Exit, blob, err = s.wait(r.PID)
	case wire.OpKill:
		err = s.kill(r.PID)
	case wire.OpRead:
		err = s.read(r)
	case wire.OpPut:
		err = s.parcel.put(r)
	default:
		err = fmt.Errorf("unknown request %q", r.Op)
	}
	if err != nil {
		reply.Error = err.Error()
	}
	s.send(reply, blob)
}

// run lets a program go once the host knows that it will be, so that a stop on its
// first instruction leaves nothing unanswered.
func (s *server) run(r wire.Request) error {
	release, err := s.release(r.PID)
	if err != nil {
		return err
	}
	s.send(wire.Reply{ID: r.ID, More: true}, nil)
	release()
	return nil
}

func (s *server) send(r wire.Reply, blob []byte) {
	blob, r.Flate = wire.Pack(blob)
	if err := s.link.Send(context.Background(), wire.Join(&r, blob)); err != nil {
		select {
		case s.broken <- err:
		default:
		}
	}
}

func (s *server) read(r wire.Request) error {
	f, err := os.Open(r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, readPiece)
	for {
		n, err := io.ReadFull(f, buf)
		if n > 0 {
			s.send(wire.Reply{ID: r.ID, More: true}, buf[:n])
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
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
