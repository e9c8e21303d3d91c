package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/images/guest"
)

// attribution is how long QEMU's end may take to be seen after its socket broke.
const attribution = 2 * time.Second

// Machine is a booted guest: QEMU, and the agent on its console.
type Machine struct {
	VM    *qemu.VM
	Agent *guest.Agent
	// Boot is the time from QEMU's start to the agent's hello: of this machine or,
	// when it was restored, of the one it was saved from.
	Boot     time.Duration
	Restored time.Duration // from QEMU's start to the agent's answer; 0 for a machine that booted

	kernel  string
	stub    *rsp.Client                 // nil before it is needed
	known   float64                     // slowness of the host, see Job.Slowness
	landed  bool                        // its program has been written into it
	stands  *place                      // where its program stands, nil for a guest that waits for one
	discard func(context.Context) error // the snapshot it came from, nil for none
}

// Boot starts a machine and opens a session with its agent. The console's text
// goes to log, which may be nil. limit bounds the boot, 0 is the default.
func Boot(ctx context.Context, c qemu.Config, kernel string, limit time.Duration, log io.Writer) (*Machine, error) {
	return boot(ctx, c, kernel, asked(limit, bootLimit, 1), 1, log)
}

// boot is Boot on a host of known slowness.
func boot(ctx context.Context, c qemu.Config, kernel string, limit limit, slowness float64, log io.Writer) (*Machine, error) {
	m, err := await(ctx, c, kernel, limit, slowness, log)
	if err != nil {
		return nil, err
	}
	err = m.answered(ctx, m.Agent.Pair)
	if err != nil {
		defer m.Close()
		return nil, m.Explain(ctx, "boot", err)
	}
	return m, nil
}

// await starts a machine and waits until its agent is ready for a session.
func await(ctx context.Context, c qemu.Config, kernel string, limit limit, slowness float64, log io.Writer) (*Machine, error) {
	if log == nil {
		log = io.Discard
	}
	began := time.Now()
	vm, err := qemu.Start(ctx, c)
	if err != nil {
		return nil, &Error{Op: "start the machine", Err: err}
	}
	m := &Machine{VM: vm, kernel: kernel, known: slowness}
	console := &keeper{log: log}
	bctx, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	m.Agent, err = guest.Await(bctx, vm.Console(), guest.Options{Log: console})
	if err != nil {
		defer vm.Close()
		if ctx.Err() == nil && errors.Is(bctx.Err(), context.DeadlineExceeded) {
			err = limit.hit("the boot")
			return nil, &GuestError{What: "did not come up", Kernel: kernel, Console: console.tail(), Err: err}
		}
		return nil, m.explain(ctx, "boot", err, console.tail())
	}
	m.Boot = time.Since(began)
	return m, nil
}

// Stub halts the guest and returns the debugger's end of its gdbstub, of which
// there is one for the life of the machine.
func (m *Machine) Stub(ctx context.Context) (*rsp.Client, error) {
	if m.stub != nil {
		if _, err := m.stub.Interrupt(ctx); err != nil && !errors.Is(err, rsp.ErrNotRunning) {
			return nil, err
		}
		return m.stub, nil
	}
	stub, err := rsp.New(ctx, m.VM.GDB(), rsp.Options{Halts: m.VM})
	if err != nil {
		return nil, fmt.Errorf("attach to the gdbstub: %w", err)
	}
	m.stub = stub
	return stub, nil
}

// Close ends the machine.
func (m *Machine) Close() {
	if m.stub != nil {
		m.stub.Close()
	}
	if m.Agent != nil {
		m.Agent.Close()
	}
	m.VM.Close()
}

// Explain finds whose fault err is, with what the console and QEMU say of it.
func (m *Machine) Explain(ctx context.Context, op string, err error) error {
	return m.explain(ctx, op, err, m.Agent.Tail(tailLines))
}

func (m *Machine) explain(ctx context.Context, op string, err error, console []string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var known *GuestError
	if errors.As(err, &known) {
		return err
	}
	var panicked *guest.PanicError
	if errors.As(err, &panicked) {
		return m.oops(console, panicked.Lines)
	}
	if m.Agent != nil && m.Agent.Err() != nil && errors.As(m.Agent.Err(), &panicked) {
		return m.oops(console, panicked.Lines)
	}
	// A broken socket is often the first sign of QEMU's end.
	select {
	case <-m.VM.Exited():
	case <-time.After(attribution):
	}
	if gone := m.VM.Err(); gone != nil {
		var exit *qemu.ExitError
		switch {
		case died(console) != "":
			return m.oops(console, nil)
		case errors.As(gone, &exit) && exit.Clean():
			// With -no-reboot a triple fault or any reset ends QEMU in order.
			return &GuestError{What: "reset the machine", Kernel: m.kernel, Console: console, Oops: true}
		}
		err = gone
	}
	return &Error{Op: op, Console: console, Err: err}
}

func (m *Machine) oops(console, lines []string) error {
	if len(console) == 0 {
		console = lines
	}
	why := died(console)
	if why == "" {
		why = died(lines)
	}
	return &GuestError{What: "panicked", Kernel: m.kernel, Console: console, Oops: true, Err: errors.New(why)}
}

// answered runs an exchange with the agent, which a guest that does not answer
// in time has hung in.
func (m *Machine) answered(ctx context.Context, exchange func(context.Context) error) error {
	limit := stretched(answerLimit, m.slowness())
	timed, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	err := exchange(timed)
	if err == nil || ctx.Err() != nil || !errors.Is(timed.Err(), context.DeadlineExceeded) {
		return err
	}
	return &GuestError{
		What: "hung", Hung: true, Kernel: m.kernel, Console: m.Agent.Tail(tailLines),
		Err: limit.hit("an answer of its agent"),
	}
}

// watch ends ctx with the cause when the machine dies under a run.
func (m *Machine) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-m.VM.Exited():
			cancel(fmt.Errorf("the machine is gone: %w", m.VM.Err()))
		case <-m.Agent.Panicked():
			cancel(m.Agent.Err())
		}
	}()
	return ctx, func() { cancel(nil) }
}
