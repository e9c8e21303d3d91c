package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"kernellab/harness/qemu"
	"kernellab/images/guest"
)

// load starts a machine from a snapshot. It does not run yet, and nobody has a
// session with its agent.
func (j Job) load(ctx context.Context, c qemu.Config, ram *os.File, state []byte, limit limit) (*Machine, error) {
	c.RAM, c.Incoming = ram, true
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, &Error{Op: "start the machine", Err: err}
	}
	m := &Machine{VM: vm, kernel: j.Image.Release, known: j.slowness()}
	timed, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	if err = vm.Restore(timed, bytes.NewReader(state)); err == nil {
		err = m.setTimer(timed, j.Arch.QEMU.Timer)
	}
	if err != nil {
		m.Close()
		if ctx.Err() == nil && timed.Err() != nil {
			err = limit.hit("the start from a snapshot")
		}
		return nil, &Error{Op: "start from a snapshot", Err: err}
	}
	return m, nil
}

// restore starts a machine from a snapshot, with the program in it if it is to be
// brought and there is room, and opens a session with its agent. The first bytes
// for the agent are there before the guest runs.
func (j Job) restore(ctx context.Context, c qemu.Config, s saved, bring []byte, usual time.Duration, console io.Writer) (*Machine, error) {
	limit := stretched(usual, j.slowness())
	m, err := j.load(ctx, c, s.ram, s.state, limit)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	if m.landed, err = m.land(timed, s.landing, bring); err != nil {
		m.Close()
		return nil, &Error{Op: "start from a snapshot", Err: err}
	}
	vm := m.VM
	log := &keeper{log: console}
	line := &firstWrite{Conn: vm.Console(), written: make(chan struct{})}
	m.Agent, err = guest.Await(timed, line, guest.Options{Log: log, Resumed: true})
	if err == nil {
		paired := make(chan error, 1)
		go func() { paired <- m.Agent.Pair(timed) }()
		select {
		case <-line.written:
			err = m.stub.Resume(timed)
		case <-timed.Done():
			err = timed.Err()
		}
		err = errors.Join(err, <-paired)
	}
	if err == nil {
		return m, nil
	}
	defer vm.Close()
	if ctx.Err() == nil && timed.Err() != nil {
		err = limit.hit("the start from a snapshot")
		return nil, &Error{Op: "start from a snapshot", Console: log.tail(), Err: err}
	}
	return nil, m.explain(ctx, "start from a snapshot", err, log.tail())
}

// setTimer attaches to the gdbstub of a restored machine, which has not run yet,
// and sets the timer that its state did not bring: see arch.QEMU.
func (m *Machine) setTimer(ctx context.Context, csr int) error {
	stub, err := m.Stub(ctx)
	if err != nil || csr == 0 {
		return err
	}
	if _, _, err := stub.RewriteCSR(ctx, csr); err != nil {
		return fmt.Errorf("set the guest's timer: %w", err)
	}
	return nil
}

// firstWrite says when something was written.
type firstWrite struct {
	net.Conn
	once    sync.Once
	written chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.once.Do(func() { close(w.written) })
	return n, err
}
