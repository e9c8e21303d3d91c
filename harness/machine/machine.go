// Package machine gets a machine that is ready for a lab: a guest whose agent is
// up, from a snapshot or by booting, and optionally one in which a program has come
// to a certain place.
//
// A machine's time is its own. It passes with the guest's instructions, and nothing
// reaches the guest while it runs: requests to its agent are put into its memory
// while it stands still. So whatever is done with a machine is a function of its
// [Spec] and of what it is asked to do, wherever and however often it is done: from
// either kind of snapshot or from reset.
//
// Whose fault a failure is shows in its type: a kernel that does not boot, dies or
// hangs is a *GuestError, and whatever keeps the machine from being had an *Error.
package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/harness/task"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
)

// attribution is how long QEMU's end may take to be seen after its socket broke.
const attribution = 20 * time.Second

// Machine is a guest that stands still, with a debugger attached. One goroutine
// uses it; Close may be called from any.
type Machine struct {
	VM    VM
	Stub  *rsp.Client
	Agent *guest.Agent
	// Mark is the address at which the agent hands over its messages.
	Mark uint64
	// Patience is how long, by the host's clock, the machine may take for what it is
	// asked to do, before it counts as hung: at first the guard of its Spec.
	Patience time.Duration
	// Idle is how long QEMU may get no processor time before that is reported: at first
	// that of its Spec.
	Idle time.Duration
	// Due is when, by the guest's clock, the agent has answered whatever a program does,
	// in ns as of [Machine.Clock]; 0 is not known. A guest that is overdue counts as hung.
	Due int64

	Boot     time.Duration // host time from QEMU's start to the agent's first mark, here or where it was saved
	Restored time.Duration // host time that starting from a snapshot took, 0 for a machine that booted

	arch    arch.Arch
	image   *kernel.Image
	reader  *task.Reader
	console *guest.Console
	skips   map[uint64]map[string]uint64      // see Leave
	discard []func(ctx context.Context) error // the snapshots it came from
	stage   func(format string, args ...any)  // Spec.Stage

	// Of a machine that can be moved, else zero:
	spec Spec
	ram  *os.File // its memory, which no other machine has
	log  io.Writer
}

// VM is the emulated machine: a *qemu.VM.
type VM interface {
	rsp.StopCounter
	PID() int
	Exited() <-chan struct{}
	Err() error
	Close() error
	Align(ctx context.Context) error
	Peek(ctx context.Context, addr uint64) (uint64, error)
	Used() time.Duration
}

// Close ends the machine. It may be called more than once.
func (m *Machine) Close() {
	if m.Stub != nil {
		m.Stub.Close()
	}
	m.VM.Close()
	m.console.Close()
	if m.ram != nil {
		m.ram.Close()
	}
}

// Panicked is closed when the kernel has reported that it is broken.
func (m *Machine) Panicked() <-chan struct{} { return m.console.Panicked() }

// Clock returns the guest's time in ns, on a clock of the guest's hardware that
// starts when the guest boots or sets it.
func (m *Machine) Clock(ctx context.Context) (int64, error) {
	var b [8]byte
	if err := m.Stub.ReadPhysical(ctx, []rsp.Range{{Addr: m.arch.QEMU.Clock.Addr, Buf: b[:]}}); err != nil {
		return 0, fmt.Errorf("read the guest's clock: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(b[:])) * int64(m.arch.QEMU.Clock.Tick), nil
}

// Align makes the machine go on in the same way as a copy of it that is restored
// here: it sets the guest's timer, starts the timer anew that bounds the steps of the
// guest's clock, and empties the vCPUs' translation buffers. What is in those decides when a page walk
// sets the accessed and dirty bits in a page table.
func (m *Machine) Align(ctx context.Context) error {
	if err := m.setTimer(ctx); err != nil {
		return err
	}
	if err := m.VM.Align(ctx); err != nil {
		return err
	}
	return m.Stub.FlushTLB(ctx)
}

// setTimer sets the timer of each of the guest's processors, which the state of a
// restored machine does not bring: see arch.QEMU.
func (m *Machine) setTimer(ctx context.Context) error {
	csr := m.arch.QEMU.Timer
	if csr == 0 {
		return nil
	}
	return m.each(ctx, func(string) error {
		if _, _, err := m.Stub.RewriteCSR(ctx, csr); err != nil {
			return fmt.Errorf("set the guest's timer: %w", err)
		}
		return nil
	})
}

// flags returns what a saved machine's state lacks, by vCPU, where it is not zero:
// see arch.QEMU.
func (m *Machine) flags(ctx context.Context) (map[string]uint64, error) {
	csr := m.arch.QEMU.Flags
	if csr == 0 {
		return nil, nil
	}
	all := map[string]uint64{}
	err := m.each(ctx, func(thread string) error {
		v, _, err := m.Stub.ReadCSR(ctx, csr)
		if err != nil {
			return fmt.Errorf("read the processor's flags: %w", err)
		}
		if v != 0 {
			all[thread] = v
		}
		return nil
	})
	return all, err
}

// setFlags sets them in a machine that was restored.
func (m *Machine) setFlags(ctx context.Context, flags map[string]uint64) error {
	if len(flags) == 0 {
		return nil
	}
	return m.each(ctx, func(thread string) error {
		v, ok := flags[thread]
		if !ok {
			return nil
		}
		q := m.arch.QEMU
		status, has, err := m.Stub.ReadCSR(ctx, q.Status)
		if err == nil {
			err = m.Stub.WriteCSR(ctx, q.Flags, v)
		}
		if err == nil && has {
			err = m.Stub.WriteCSR(ctx, q.Status, status)
		}
		if err != nil {
			return fmt.Errorf("set the processor's flags: %w", err)
		}
		return nil
	})
}

// each selects each vCPU for do, and at last the one that stopped.
func (m *Machine) each(ctx context.Context, do func(thread string) error) error {
	stands, err := m.Stub.Stopped(ctx)
	if err != nil {
		return err
	}
	threads, err := m.Stub.Threads(ctx)
	if err != nil {
		return err
	}
	if len(threads) == 1 {
		return do(stands)
	}
	for _, thread := range threads {
		if err := m.Stub.SelectThread(ctx, thread); err != nil {
			return err
		}
		if err := do(thread); err != nil {
			return err
		}
	}
	return m.Stub.SelectThread(ctx, stands)
}

// Leave moves the guest on over the breakpoint that it stands at, if that does next
// to nothing, and reports whether it did. It spares a step, at which QEMU throws away
// all code that it has translated (gdb_vm_state_change in gdbstub/system.c).
func (m *Machine) Leave(ctx context.Context, pc uint64, breaks func(addr uint64) bool) (bool, error) {
	changed, known := m.skips[pc]
	if !known {
		var code [5]byte
		if err := m.Stub.ReadMemory(ctx, pc, code[:]); err != nil {
			return false, err
		}
		changed = m.arch.Skip(pc, code[:])
		m.skips[pc] = changed
	}
	if changed == nil || breaks(changed[m.arch.Registers.PC]) {
		return false, nil
	}
	for name, v := range changed {
		if err := m.Stub.WriteRegister(ctx, name, v); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Debugger is a machine as a lab's driver uses it.
type Debugger struct {
	*rsp.Client
	m *Machine
}

// Debugger returns the machine as a lab's driver uses it.
func (m *Machine) Debugger() Debugger { return Debugger{m.Stub, m} }

// Leave is [Machine.Leave].
func (d Debugger) Leave(ctx context.Context, pc uint64, breaks func(addr uint64) bool) (bool, error) {
	return d.m.Leave(ctx, pc, breaks)
}

// Clock is [Machine.Clock].
func (d Debugger) Clock(ctx context.Context) (int64, error) { return d.m.Clock(ctx) }

// toMark lets the guest run to the next mark of its agent.
func (m *Machine) toMark(ctx context.Context) error {
	if err := m.Stub.Insert(ctx, m.Mark); err != nil {
		return fmt.Errorf("break at the agent's mark: %w", err)
	}
	regs, err := m.Stub.Registers(ctx)
	if err != nil {
		return err
	}
	at := regs[m.arch.Registers.PC]
	for {
		if at == m.Mark {
			if _, err := m.Leave(ctx, at, func(addr uint64) bool { return addr == m.Mark }); err != nil {
				return fmt.Errorf("move on from the agent's mark: %w", err)
			}
		}
		if err := m.Stub.Resume(ctx); err != nil {
			return fmt.Errorf("resume the guest: %w", err)
		}
		stop, err := m.Stub.Wait(ctx)
		if err != nil {
			return fmt.Errorf("wait for the agent: %w", err)
		}
		if stop.Exited { // whose fault that is, QEMU's end shows
			return fmt.Errorf("wait for the agent: %w: the guest has exited", rsp.ErrClosed)
		}
		if at = stop.PC; at != m.Mark {
			return fmt.Errorf("wait for the agent: the guest stopped at %#x, and nobody asked it to", at)
		}
		ours, err := m.agents(ctx)
		if err != nil {
			return fmt.Errorf("tell the agent's mark: %w", err)
		}
		if ours {
			return nil
		}
	}
}

// agentPID is the agent's process: it is the first.
const agentPID = 1

// agents reports whether the task that runs is the agent.
func (m *Machine) agents(ctx context.Context) (bool, error) {
	regs, err := m.Stub.Registers(ctx)
	if err != nil {
		return false, err
	}
	current, err := m.reader.Current(ctx, regs)
	if err != nil {
		return false, err
	}
	t, err := m.reader.Task(ctx, current)
	return t.TGID == agentPID, err
}

// greet makes the acquaintance of an agent that stands at its first mark.
func (m *Machine) greet(ctx context.Context, mark kernel.Resolved) error {
	regs, err := m.Stub.Registers(ctx)
	if err != nil {
		return err
	}
	directory := regs[m.arch.Registers.Args[0]]
	if mark.Syscall {
		args, err := m.reader.SyscallArgs(ctx, directory, 1)
		if err != nil {
			return err
		}
		directory = args[0]
	}
	m.Agent, err = guest.Greet(ctx, memory{m.Stub}, m.resume, directory)
	return err
}

// resume is the agent's [guest.Resume]. A guest that does not come back in time
// hangs.
func (m *Machine) resume(ctx context.Context) error {
	watched, cancel := m.Watch(ctx)
	defer cancel()
	return m.Guard(watched, "an answer of its agent", m.toMark)
}

// memory is the guest's physical memory.
type memory struct{ stub *rsp.Client }

func (m memory) ReadPhysical(ctx context.Context, pieces []guest.Piece) error {
	return m.stub.ReadPhysical(ctx, ranges(pieces))
}

func (m memory) WritePhysical(ctx context.Context, pieces []guest.Piece) error {
	return m.stub.WritePhysical(ctx, ranges(pieces))
}

func ranges(pieces []guest.Piece) []rsp.Range {
	all := make([]rsp.Range, len(pieces))
	for i, p := range pieces {
		all[i] = rsp.Range{Addr: p.Addr, Buf: p.Buf}
	}
	return all
}

// DefaultGuard is how long, by the host's clock, a machine may take to boot, to come
// back from a snapshot, or to do what it was asked. A guest's own limits are of its
// own clock and are hit long before; this one ends a QEMU that hangs, on a host
// twenty times slower than usual too.
const DefaultGuard = 5 * time.Minute

// Guard ends do when it takes so long that the guest, or QEMU, must hang.
func (m *Machine) Guard(ctx context.Context, what string, do func(context.Context) error) error {
	timed, cancel := context.WithTimeout(ctx, m.Patience)
	defer cancel()
	defer m.reportIdle(what)()
	used := m.VM.Used()
	watched, stop := m.watchClock(timed, what)
	defer stop()
	err := limited(ctx, timed, what, m.Patience, do(watched))
	hung := &GuestError{What: "hung", Hung: true, Kernel: m.image.Release, Console: m.console.Tail(tailLines)}
	var overdue *OverdueError
	var late *LimitError
	switch {
	case err != nil && ctx.Err() == nil && errors.As(context.Cause(watched), &overdue):
		hung.Ran, hung.Err = true, overdue
	case errors.As(err, &late):
		// It may be that QEMU was stopped, or the host too busy.
		hung.Ran, hung.Err = m.VM.Used()-used >= m.Patience/4, late
	default:
		return err
	}
	return hung
}

// DefaultIdle is long enough for a busy host to give QEMU some processor time.
const DefaultIdle = 10 * time.Second

// reportIdle reports once, until stop is called, that QEMU gets no processor time: it was
// stopped, or the host is too busy. Both look like a guest that hangs, and a person can
// end the wait.
func (m *Machine) reportIdle(what string) (stop func()) {
	done := make(chan struct{})
	idle, used := m.Idle, m.VM.Used()
	var reporting sync.WaitGroup
	reporting.Go(func() {
		tick := time.NewTicker(idle)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-m.VM.Exited():
				return
			case <-tick.C:
			}
			now := m.VM.Used()
			if now == used {
				m.stage("still waiting for %s: QEMU (process %d) has had no processor time for %s; if it was stopped, continue it with: kill -CONT %d (else lab gives up after %s)", what, m.VM.PID(), idle, m.VM.PID(), m.Patience)
				return
			}
			used = now
		}
	})
	return func() {
		close(done)
		reporting.Wait()
	}
}

// looks is how often the guest's clock is looked at within a machine's patience, all of it
// processor time of QEMU's. Few runs take that much for one look, however slow the host
// is. With several vCPUs a look may change which of them runs next.
const looks = 30

// watchClock ends ctx with an *OverdueError when the guest's clock is past m.Due.
func (m *Machine) watchClock(ctx context.Context, what string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if m.Due == 0 {
		return ctx, func() { cancel(nil) }
	}
	go func() {
		every, looked := max(m.Patience/looks, 1), m.VM.Used()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			used := m.VM.Used()
			if used-looked < every {
				continue // it has not run for long enough
			}
			looked = used
			// An exchange with QEMU that was cut short would spoil those that follow.
			whole, done := context.WithTimeout(context.WithoutCancel(ctx), m.Patience)
			count, err := m.VM.Peek(whole, m.arch.QEMU.Clock.Addr)
			done()
			now := int64(count) * int64(m.arch.QEMU.Clock.Tick)
			if err == nil && now > m.Due {
				cancel(&OverdueError{What: what, Late: time.Duration(now - m.Due)})
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Watch ends ctx with the cause when the machine dies.
func (m *Machine) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-m.VM.Exited():
			if err := m.VM.Err(); err != nil {
				cancel(fmt.Errorf("the machine is gone: %w", err))
			}
		case <-m.console.Panicked():
			<-m.console.Done() // it is still saying why
			cancel(m.console.Panic())
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Explain finds whose fault err is, with what the console and QEMU say of it.
func (m *Machine) Explain(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var known *GuestError
	if errors.As(err, &known) {
		return err
	}
	if err := m.Broken(); err != nil {
		return err
	}
	if errors.Is(err, rsp.ErrClosed) || errors.Is(err, rsp.ErrBroken) {
		// A broken socket is often the first sign of QEMU's end.
		timer := time.NewTimer(attribution)
		defer timer.Stop()
		select {
		case <-m.VM.Exited():
		case <-timer.C:
		}
	}
	if gone := m.VM.Err(); gone != nil {
		<-m.console.Done() // which ended with QEMU
		var exit *qemu.ExitError
		switch {
		case m.console.Panic() != nil:
			return m.oops()
		case errors.As(gone, &exit) && exit.Clean():
			// With -no-reboot a triple fault or any reset ends QEMU in order.
			return &GuestError{What: "reset the machine", Kernel: m.image.Release, Console: m.console.Tail(tailLines), Oops: true}
		}
		err = gone
	}
	return &Error{Op: op, Console: m.console.Tail(tailLines), Err: err}
}

// Broken returns the kernel's report on the console that it is broken, nil for none.
func (m *Machine) Broken() error {
	m.console.CatchUp()
	if m.console.Panic() != nil {
		return m.oops()
	}
	return nil
}

// oops is the error of a kernel that has said that it is broken.
func (m *Machine) oops() error {
	return &GuestError{What: "panicked", Kernel: m.image.Release, Console: m.console.Tail(tailLines), Oops: true, Err: m.console.Panic()}
}

// Discard removes the snapshots that the machine came from, which may have come up
// broken without a word.
func (m *Machine) Discard(ctx context.Context) error {
	var errs []error
	for _, remove := range m.discard {
		errs = append(errs, remove(ctx))
	}
	return errors.Join(errs...)
}

// markPoint is where the agent hands over its messages in a kernel.
func markPoint(image *kernel.Image) (kernel.Resolved, error) {
	mark, err := image.Resolve(mailbox.Mark)
	if err != nil {
		return mark, &Error{Op: "find the place where the guest's agent reports", Err: err}
	}
	return mark, nil
}
