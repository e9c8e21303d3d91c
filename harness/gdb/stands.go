package gdb

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/proxy"
	"kernellab/labs"
)

// StartAtStop starts a session of a lab on a kernel whose program stands at its first
// stop. gdb can go back in it.
func StartAtStop(ctx context.Context, h prepare.Host, l labs.Lab, t prepare.Target) (_ *Session, err error) {
	job, err := h.Job(ctx, l, t, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1})
	if err != nil {
		return nil, err
	}
	death, err := job.Death()
	if err != nil {
		return nil, err
	}
	dir, release, err := Folder(ctx, h.Cache)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	socket := filepath.Join(dir, "gdb.sock")
	commands, err := writeSession(dir, l, t, socket, true)
	if err != nil {
		return nil, err
	}
	history, err := proxy.NewHistory(ctx, proxy.Config{Death: death, Dir: dir, WatchesBefore: t.Arch.GDBWatchesBefore, Open: func(ctx context.Context) (*machine.Machine, error) {
		o, err := job.Open(ctx, io.Discard)
		if err != nil {
			return nil, err
		}
		if o.Ended {
			o.Machine.Close()
			return nil, fmt.Errorf("%s ended without a stop", l.Name)
		}
		return o.Machine, nil
	}})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		history.Close()
		return nil, fmt.Errorf("listen for gdb: %w", err)
	}
	s := &Session{Command: command(commands), lab: l, target: t, exited: make(chan struct{})}
	ctx, cancel := context.WithCancel(ctx)
	s.release = func() {
		cancel()
		<-s.exited
		release()
	}
	go func() {
		defer close(s.exited)
		defer history.Close()
		s.err = serve(ctx, listener, history)
	}()
	return s, nil
}

// serve serves the first debugger that connects.
func serve(ctx context.Context, l net.Listener, h *proxy.History) error {
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	return (&proxy.Server{History: h}).Serve(ctx, conn)
}
