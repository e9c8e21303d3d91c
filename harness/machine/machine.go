// Package machine provides machines that are ready for a lab: a guest whose agent waits
// for requests, started from a snapshot or by booting. Optionally, a program in the
// guest has already run to a given place.
//
// The machine's time passes with the guest's instructions, and the guest receives
// nothing while it runs: requests to its agent are written to its memory while it is
// stopped. So the behaviour of a machine depends only on its [Spec] and on the
// requests. It does not depend on the host, and it is the same from a snapshot and from
// reset.
//
// The type of an error tells whose fault it is: a kernel that does not boot, dies or
// hangs is a *GuestError, and any failure of the host or of this program is an *Error.
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
	"kernellab/harness/snapshot"
	"kernellab/harness/task"
	"kernellab/images/guest"
	"kernellab/images/guest/mailbox"
)

// attribution limits the wait for QEMU's exit after its socket broke.
const attribution = 20 * time.Second

// Machine is a stopped guest with a debugger attached. Only one goroutine may use it,
// but any goroutine may call Close.
type Machine struct {
	VM    VM
	Stub  *rsp.Client
	Agent *guest.Agent
	// Mark is the address at which the agent hands over its messages.
	Mark uint64
	// Patience limits, by the host's clock, how long a request to the machine may take
	// before the machine counts as hung. The initial value is Spec.Guard.
	Patience time.Duration
	// Idle is how long QEMU may get no processor time before that is reported. The
	// initial value is Spec.Idle.
	Idle time.Duration
	// Due is the time, in ns on the guest's clock (see [Machine.Clock]), by which the
	// agent must have answered, whatever the program does. 0 means no limit. A guest
	// that is overdue counts as hung.
	Due int64

	Boot     time.Duration // host time from QEMU's start to the agent's first mark, of this machine or of the one that was saved
	Restored time.Duration // host time to start from a snapshot, 0 if the machine booted

	arch    arch.Arch
	image   *kernel.Image
	reader  *task.Reader
	console *guest.Console
	skips   map[uint64]map[string]uint64           // see Leave
	looks   map[uint64]func(context.Context) error // see At
	discard []func(ctx context.Context) error      // removes the snapshots it was started from
	began   *snapshot.Memory                       // of the snapshot that it maps, nil for none
	stage   func(format string, args ...any)       // Spec.Stage

	// Set only if the machine can be moved:
	spec Spec
	ram  *os.File // its memory, not shared with other machines
	log  io.Writer
}

// VM is the emulated machine, normally a *qemu.VM.
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
	if m.began != nil {
		m.began.Close()
	}
}

// Unchanged returns an error if the snapshot that the machine maps was damaged since the
// machine was started: what ran in it may have read what was never in a guest.
func (m *Machine) Unchanged() error {
	if m.began == nil {
		return nil
	}
	return m.began.Check()
}

// Panicked returns a channel that is closed when the kernel reports that it is broken.
func (m *Machine) Panicked() <-chan struct{} { return m.console.Panicked() }

// Panic returns what the kernel has reported on the console so far if it is broken, nil
// while it is not.
func (m *Machine) Panic() *guest.PanicError {
	m.console.CatchUp()
	return m.console.Panic()
}

// Clock returns the guest's time in ns, read from a hardware clock that starts when the
// guest boots or sets it.
func (m *Machine) Clock(ctx context.Context) (int64, error) {
	var b [8]byte
	if err := m.Stub.ReadPhysical(ctx, []rsp.Range{{Addr: m.arch.QEMU.Clock.Addr, Buf: b[:]}}); err != nil {
		return 0, fmt.Errorf("read the guest's clock: %w", err)
	}
	return int64(binary.LittleEndian.Uint64(b[:])) * int64(m.arch.QEMU.Clock.Tick), nil
}

// Align makes the machine continue exactly like a copy that is restored at this point.
// It sets the guest's timer, restarts the timer that limits the steps of the guest's
// clock, and empties the vCPUs' translation buffers, because their content decides when
// a page walk sets the accessed and dirty bits in a page table.
func (m *Machine) Align(ctx context.Context) error {
	if err := m.setTimer(ctx); err != nil {
		return err
	}
	if err := m.VM.Align(ctx); err != nil {
		return err
	}
	return m.Stub.FlushTLB(ctx)
}

// setTimer sets the timer of each guest processor, which is not part of the saved
// state: see arch.QEMU.
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

// flags returns the processor flags that the saved state lacks, by vCPU, if they are
// not zero: see arch.QEMU.
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

// setFlags sets these flags in a restored machine.
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

// each calls do for each vCPU, with that vCPU selected, and selects the stopped vCPU at
// the end.
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

// Leave moves the guest past the breakpoint where it stopped, if the instruction there
// has only simple effects (see arch.Arch.Skip), and reports whether it did so. That
// avoids a single step, which makes QEMU discard all translated code
// (gdb_vm_state_change in gdbstub/system.c).
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

// Debugger is a machine in the form that package probe drives.
type Debugger struct {
	*rsp.Client
	m *Machine
}

// Debugger returns the machine in the form that package probe drives.
func (m *Machine) Debugger() Debugger { return Debugger{m.Stub, m} }

// Leave is [Machine.Leave].
func (d Debugger) Leave(ctx context.Context, pc uint64, breaks func(addr uint64) bool) (bool, error) {
	return d.m.Leave(ctx, pc, breaks)
}

// Clock is [Machine.Clock].
func (d Debugger) Clock(ctx context.Context) (int64, error) { return d.m.Clock(ctx) }

// At has look called whenever the guest comes to the function at addr, until the agent's
// next mark and in all later runs to a mark. The guest is stopped there. An error of look
// ends the run, which returns it.
func (m *Machine) At(ctx context.Context, addr uint64, look func(context.Context) error) error {
	if err := m.Stub.Insert(ctx, addr); err != nil {
		return fmt.Errorf("break at %#x: %w", addr, err)
	}
	m.looks[addr] = look
	return nil
}

// toMark runs the guest to the agent's next mark.
func (m *Machine) toMark(ctx context.Context) error {
	if err := m.Stub.Insert(ctx, m.Mark); err != nil {
		return fmt.Errorf("break at the agent's mark: %w", err)
	}
	regs, err := m.Stub.Registers(ctx)
	if err != nil {
		return err
	}
	breaks := func(pc uint64) bool { return pc == m.Mark || m.looks[pc] != nil }
	at := regs[m.arch.Registers.PC]
	for {
		if breaks(at) {
			if _, err := m.Leave(ctx, at, breaks); err != nil {
				return fmt.Errorf("move on from the breakpoint at %#x: %w", at, err)
			}
		}
		if err := m.Stub.Resume(ctx); err != nil {
			return fmt.Errorf("resume the guest: %w", err)
		}
		stop, err := m.Stub.Wait(ctx)
		if err != nil {
			return fmt.Errorf("wait for the agent: %w", err)
		}
		if stop.Exited { // Explain finds the cause in QEMU's exit
			return fmt.Errorf("wait for the agent: %w: the guest has exited", rsp.ErrClosed)
		}
		if at = stop.PC; !breaks(at) {
			return fmt.Errorf("wait for the agent: the guest stopped at %#x, and nobody asked it to", at)
		}
		if look := m.looks[at]; look != nil {
			if err := look(ctx); err != nil {
				return err
			}
			continue
		}
		ours, err := m.AgentRuns(ctx)
		if err != nil {
			return fmt.Errorf("identify the agent's mark: %w", err)
		}
		if ours {
			return nil
		}
	}
}

// agentPID is the agent's process id: it is the first process.
const agentPID = 1

// AgentRuns reports whether the running task is the agent.
func (m *Machine) AgentRuns(ctx context.Context) (bool, error) {
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

// meetAgent sets m.Agent from the message of an agent that is stopped at its first mark.
func (m *Machine) meetAgent(ctx context.Context, mark kernel.Resolved) error {
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

// resume implements [guest.Resume]. A guest that does not answer in time counts as
// hung.
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

// DefaultGuard limits, by the host's clock, how long a machine may take to boot, to
// start from a snapshot, or to serve a request. The guest's own limits use its own
// clock and are much shorter. This limit ends a QEMU that hangs. It leaves room for a
// host twenty times slower than usual, and begins again on a host that is slower (see
// patient).
const DefaultGuard = 5 * time.Minute

// Guard runs do and ends it after m.Patience, when the guest or QEMU must have hung.
func (m *Machine) Guard(ctx context.Context, what string, do func(context.Context) error) error {
	timed, cancel := patient(ctx, m.VM, m.Patience)
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
		// Perhaps QEMU was stopped, or the host is too busy.
		hung.Ran, hung.Err = m.VM.Used()-used >= m.Patience/4, late
	default:
		return err
	}
	return hung
}

// DefaultIdle is long enough for even a busy host to give QEMU some processor time.
const DefaultIdle = 10 * time.Second

// reportIdle reports once if QEMU gets no processor time before stop is called: QEMU
// was stopped, or the host is too busy. Both look like a guest that hangs, and both can
// be ended by a person.
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

// clockReads is how often watchClock reads the guest's clock within m.Patience, measured in
// QEMU's processor time. Few runs last until the first read, however slow the host is.
// With several vCPUs, a read may change which of them runs next.
const clockReads = 30

// watchClock cancels ctx with an *OverdueError when the guest's clock passes m.Due.
func (m *Machine) watchClock(ctx context.Context, what string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if m.Due == 0 {
		return ctx, func() { cancel(nil) }
	}
	go func() {
		every, looked := max(m.Patience/clockReads, 1), m.VM.Used()
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
			// An interrupted exchange with QEMU would break the following ones.
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

// Watch cancels ctx with the cause when the machine dies.
func (m *Machine) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	return m.watch(ctx, m.console.Panicked())
}

// WatchEmulator is like Watch, but lets a kernel that is broken report that to its end.
func (m *Machine) WatchEmulator(ctx context.Context) (context.Context, context.CancelFunc) {
	return m.watch(ctx, nil)
}

func (m *Machine) watch(ctx context.Context, panicked <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-m.VM.Exited():
			if err := m.VM.Err(); err != nil {
				cancel(fmt.Errorf("the machine is gone: %w", err))
			}
		case <-panicked:
			<-m.console.Done() // the console still receives the kernel's report
			cancel(m.console.Panic())
		}
	}()
	return ctx, func() { cancel(nil) }
}

// Explain returns err as the error of whoever caused it, with the relevant output of
// the console and QEMU.
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
		// A broken socket is often the first sign that QEMU has ended.
		timer := time.NewTimer(attribution)
		defer timer.Stop()
		select {
		case <-m.VM.Exited():
		case <-timer.C:
		}
	}
	if gone := m.VM.Err(); gone != nil {
		<-m.console.Done() // it ends with QEMU
		var exit *qemu.ExitError
		switch {
		case m.console.Panic() != nil:
			return m.oops()
		case errors.As(gone, &exit) && exit.Clean():
			// With -no-reboot, QEMU exits with status 0 after a triple fault or any
			// reset.
			return &GuestError{What: "reset the machine", Kernel: m.image.Release, Console: m.console.Tail(tailLines), Oops: true}
		}
		err = gone
	}
	return &Error{Op: op, Console: m.console.Tail(tailLines), Err: err}
}

// Broken returns an error if the kernel has reported on the console that it is broken.
func (m *Machine) Broken() error {
	if m.Panic() != nil {
		return m.oops()
	}
	return nil
}

// oops returns the error of a kernel that has reported that it is broken.
func (m *Machine) oops() error {
	return &GuestError{What: "panicked", Kernel: m.image.Release, Console: m.console.Tail(tailLines), Oops: true, Err: m.console.Panic()}
}

// Discard removes the snapshots that the machine was started from. They may be damaged
// without any report.
func (m *Machine) Discard(ctx context.Context) error {
	var errs []error
	for _, remove := range m.discard {
		errs = append(errs, remove(ctx))
	}
	return errors.Join(errs...)
}

// markPoint finds the place in a kernel where the agent hands over its messages.
func markPoint(image *kernel.Image) (kernel.Resolved, error) {
	mark, err := image.Resolve(mailbox.Mark)
	if err != nil {
		return mark, &Error{Op: "find the place where the guest's agent reports", Err: err}
	}
	return mark, nil
}
