package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/harness/snapshot"
	"kernellab/harness/task"
	"kernellab/images/guest"
)

// Start returns a machine whose agent waits for its first request. It starts from a
// snapshot, which it makes if there is none, or it boots. The writer console receives
// the output of the boot and of the guest's console.
func (s Spec) Start(ctx context.Context, console io.Writer) (*Machine, error) {
	if s.Snapshots == nil || s.Cold {
		s.stage("booting %s (%s)", s.Image.Release, s.Arch.Name)
		return s.boot(ctx, s.Config(), console)
	}
	m, err := s.warm(ctx, console)
	var guestErr *GuestError
	if err == nil || ctx.Err() != nil || errors.As(err, &guestErr) {
		return m, err
	}
	// The machine can be booted whatever is wrong with the snapshots.
	s.stage("booting instead of starting from a snapshot: %v", err)
	s.Cold = true
	return s.Start(ctx, console)
}

// StartMovable is like Start, but Move can move the machine, whose memory is not
// shared.
func (s Spec) StartMovable(ctx context.Context, console io.Writer) (*Machine, error) {
	if s.Snapshots == nil || s.Cold {
		s.stage("booting %s (%s)", s.Image.Release, s.Arch.Name)
		return s.bootMovable(ctx, console)
	}
	m, err := s.warmMovable(ctx, console)
	var guestErr *GuestError
	if err == nil || ctx.Err() != nil || errors.As(err, &guestErr) {
		return m, err
	}
	s.stage("booting instead of starting from a snapshot: %v", err)
	return s.bootMovable(ctx, console)
}

// bootMovable boots the machine and moves it once, as machines from a snapshot were.
func (s Spec) bootMovable(ctx context.Context, console io.Writer) (*Machine, error) {
	c := s.Config()
	var err error
	if c.RAM, err = newRAM(c.Size()); err != nil {
		return nil, err
	}
	m, err := s.boot(ctx, c, console)
	if err != nil {
		c.RAM.Close()
		return nil, err
	}
	m.spec, m.ram, m.log = s, c.RAM, console
	return m.Move(ctx)
}

// warmMovable starts the machine from a copy of the snapshot of the booted guest.
func (s Spec) warmMovable(ctx context.Context, console io.Writer) (*Machine, error) {
	key, snap, err := s.obtain(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var agent agentNote
	if err := json.Unmarshal(snap.Note, &agent); err != nil {
		return nil, errors.Join(&Error{Op: "read the snapshot's note", Err: err}, s.Snapshots.Discard(ctx, key))
	}
	began := time.Now()
	c := s.Config()
	if c.RAM, err = newRAM(c.Size()); err != nil {
		return nil, err
	}
	if err := snapshot.Copy(c.RAM, snap.RAM); err != nil {
		c.RAM.Close()
		return nil, &Error{Op: "copy the guest's memory", Err: err}
	}
	c.Incoming, c.Shared = true, true
	console.Write(snap.Console) // a run continues without its console.log
	m, err := s.restore(ctx, c, snap.State, agent, console)
	if err != nil {
		c.RAM.Close()
		return nil, errors.Join(err, s.Snapshots.Discard(ctx, key))
	}
	m.spec, m.ram, m.log = s, c.RAM, console
	m.Boot, m.Restored = snap.Boot, time.Since(began)
	m.discard = append(m.discard, func(ctx context.Context) error { return s.Snapshots.Discard(ctx, key) })
	return m, nil
}

// newRAM returns an unnamed file for a guest's memory.
func newRAM(size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, &Error{Op: "make room for the guest's memory", Err: err}
	}
	f := os.NewFile(uintptr(fd), "guest")
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, &Error{Op: "make room for the guest's memory", Err: err}
	}
	return f, nil
}

// Move stops the machine's QEMU and continues the guest in a new one, exactly as a
// machine that is started from a snapshot of this guest continues. QEMU caches state of
// the guest that is not in a snapshot, such as the size and content of its translation
// buffers, and the guest can notice it: a write may use an old translation of a page
// that a fork is about to protect. To behave like a copy, a machine has to start like
// one. m is closed.
func (m *Machine) Move(ctx context.Context) (*Machine, error) {
	at, err := m.note(ctx)
	var state bytes.Buffer
	if err == nil {
		err = m.save(ctx, &state)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	ram := m.ram
	m.ram = nil // it belongs to the new machine
	m.Close()
	c := m.spec.Config()
	c.RAM, c.Incoming, c.Shared = ram, true, true
	moved, err := m.spec.restore(ctx, c, state.Bytes(), at, m.log)
	if err != nil {
		ram.Close()
		return nil, err
	}
	moved.spec, moved.ram, moved.log = m.spec, ram, m.log
	moved.Boot, moved.Restored, moved.Due, moved.discard = m.Boot, m.Restored, m.Due, m.discard
	return moved, nil
}

// Place is a point in a program's execution from which many runs start.
type Place struct {
	// Key is everything except the machine that the execution up to the place depends
	// on.
	Key []string
	// Reach runs the guest, whose agent waits for its first request, to the place. It
	// returns the data that is needed to continue from there, and leaves the machine in
	// the state in which continuing begins.
	Reach func(ctx context.Context, m *Machine) (note []byte, err error)
}

// StartAt returns a machine at a place, started from a snapshot that it makes if there
// is none. It returns ErrNoPlace if no snapshots are kept or the machine cannot be
// saved there; then each run has to execute the program up to the place.
func (s Spec) StartAt(ctx context.Context, p Place, console io.Writer) (m *Machine, note []byte, err error) {
	if s.Snapshots == nil || s.Cold {
		return nil, nil, ErrNoPlace
	}
	key, err := s.key(ctx)
	if err != nil {
		return nil, nil, err
	}
	base := key
	key.Place = p.Key
	snap, err := s.Snapshots.Obtain(ctx, key, s.Config().Size(), func(ctx context.Context, d *snapshot.Draft) error {
		return s.savePlace(ctx, p, d)
	})
	if err != nil {
		return nil, nil, err
	}
	defer snap.Close()
	var kept placeNote
	if err := json.Unmarshal(snap.Note, &kept); err != nil {
		return nil, nil, errors.Join(&Error{Op: "read the snapshot's note", Err: err}, s.Snapshots.Discard(ctx, key))
	}
	if m, err = s.restored(ctx, key, snap, kept.Agent, console); err != nil {
		return nil, nil, err
	}
	// The snapshot of the booted guest may be damaged too.
	m.discard = append(m.discard, func(ctx context.Context) error { return s.Snapshots.Discard(ctx, base) })
	return m, kept.Note, nil
}

// ErrNoPlace means that a machine cannot be started at a place.
var ErrNoPlace = errors.New("there is no snapshot of that place")

// agentNote is the note of a snapshot: the state of the agent and of the stop that all
// copies of the guest share.
type agentNote struct {
	Mailbox, Landing []uint64
	Thread           string            // vCPU of the guest's last stop
	Flags            map[string]uint64 // by vCPU, the flags of arch.QEMU.Flags that are not zero
}

type placeNote struct {
	Agent agentNote
	Note  []byte
}

// note returns the note of a machine that is stopped where it will be saved.
func (m *Machine) note(ctx context.Context) (agentNote, error) {
	n := agentNote{Mailbox: m.Agent.Mailbox, Landing: m.Agent.Landing}
	var err error
	if n.Thread, err = m.Stub.Stopped(ctx); err != nil {
		return n, err
	}
	n.Flags, err = m.flags(ctx)
	return n, err
}

// warm starts the machine from the snapshot of its booted guest.
func (s Spec) warm(ctx context.Context, console io.Writer) (*Machine, error) {
	key, snap, err := s.obtain(ctx)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	var agent agentNote
	if err := json.Unmarshal(snap.Note, &agent); err != nil {
		return nil, errors.Join(&Error{Op: "read the snapshot's note", Err: err}, s.Snapshots.Discard(ctx, key))
	}
	return s.restored(ctx, key, snap, agent, console)
}

// obtain opens the snapshot of the booted guest, and makes it if there is none.
func (s Spec) obtain(ctx context.Context) (snapshot.Key, *snapshot.Snapshot, error) {
	key, err := s.key(ctx)
	if err != nil {
		return key, nil, err
	}
	snap, err := s.Snapshots.Obtain(ctx, key, s.Config().Size(), func(ctx context.Context, d *snapshot.Draft) error {
		return s.saveBooted(ctx, d)
	})
	return key, snap, err
}

// restored starts a machine from an open snapshot, and discards the snapshot if that
// fails.
func (s Spec) restored(ctx context.Context, key snapshot.Key, snap *snapshot.Snapshot, agent agentNote, console io.Writer) (*Machine, error) {
	console.Write(snap.Console) // a run continues without its console.log
	c := s.Config()
	c.RAM, c.Incoming = snap.RAM, true
	began := time.Now()
	m, err := s.restore(ctx, c, snap.State, agent, console)
	if err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, s.Snapshots.Discard(ctx, key))
		}
		return nil, err
	}
	m.Boot, m.Restored = snap.Boot, time.Since(began)
	m.discard = append(m.discard, func(ctx context.Context) error { return s.Snapshots.Discard(ctx, key) })
	if m.began, err = snap.Memory(); err != nil {
		m.Close()
		return nil, &Error{Op: "restore the machine", Err: err}
	}
	return m, nil
}

// saveBooted boots the machine and saves it when its agent waits for the first request.
func (s Spec) saveBooted(ctx context.Context, d *snapshot.Draft) error {
	s.stage("booting %s (%s) once, for a snapshot", s.Image.Release, s.Arch.Name)
	c := s.Config()
	c.RAM = d.RAM
	m, err := s.boot(ctx, c, d.Console)
	if err != nil {
		return err
	}
	defer m.Close()
	d.Boot = m.Boot
	at, err := m.note(ctx)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(d.Note).Encode(at); err != nil {
		return err
	}
	return m.save(ctx, d.State)
}

// savePlace runs a copy of the booted guest to a place and saves it there.
func (s Spec) savePlace(ctx context.Context, p Place, d *snapshot.Draft) error {
	_, base, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	defer base.Close()
	s.stage("running to the first stop once, for a snapshot")
	if err := snapshot.Copy(d.RAM, base.RAM); err != nil {
		return fmt.Errorf("copy the guest's memory: %w", err)
	}
	var agent agentNote
	if err := json.Unmarshal(base.Note, &agent); err != nil {
		return err
	}
	c := s.Config()
	c.RAM, c.Incoming, c.Shared = d.RAM, true, true
	if _, err := d.Console.Write(base.Console); err != nil {
		return err
	}
	m, err := s.restore(ctx, c, base.State, agent, d.Console)
	if err != nil {
		return err
	}
	defer m.Close()
	note, err := p.Reach(ctx, m)
	if err != nil {
		return err
	}
	d.Boot = base.Boot
	if agent, err = m.note(ctx); err != nil {
		return err
	}
	if err := json.NewEncoder(d.Note).Encode(placeNote{Agent: agent, Note: note}); err != nil {
		return err
	}
	return m.save(ctx, d.State)
}

// save writes the state of the machine's devices and leaves its memory in its file.
// After it, the machine can only be closed.
func (m *Machine) save(ctx context.Context, state io.Writer) error {
	vm, ok := m.VM.(Emulator)
	if !ok {
		return ErrNoPlace
	}
	err := m.Guard(ctx, "saving the machine", func(ctx context.Context) error {
		if err := m.Stub.DetachHalted(ctx); err != nil {
			return err
		}
		return vm.Save(ctx, state)
	})
	if err != nil {
		return m.Explain(ctx, "make a snapshot", err)
	}
	return nil
}

// launch starts QEMU with the machine halted, and attaches the debugger.
func (s Spec) launch(ctx context.Context, c qemu.Config, console io.Writer) (_ *Machine, vm Emulator, err error) {
	mark, err := markPoint(s.Image)
	if err != nil {
		return nil, nil, err
	}
	start := s.Emulate
	if start == nil {
		start = func(ctx context.Context, c qemu.Config) (Emulator, error) { return qemu.Start(ctx, c) }
	}
	if vm, err = start(ctx, c); err != nil {
		return nil, nil, &Error{Op: "start the machine", Err: err}
	}
	m := &Machine{
		VM: vm, Mark: mark.Addr, arch: s.Arch, image: s.Image, Patience: s.guard(), skips: map[uint64]map[string]uint64{}, looks: map[uint64]func(context.Context) error{},
		Idle: s.idle(), stage: s.stage,
	}
	if m.console, err = guest.ReadConsole(vm.Output(), console); err != nil {
		vm.Close()
		return nil, nil, &Error{Op: "read the guest's console", Err: err}
	}
	return m, vm, nil
}

// attach attaches the debugger.
func (m *Machine) attach(ctx context.Context, conn net.Conn) (err error) {
	if m.Stub, err = rsp.New(ctx, conn, rsp.Options{StopCounter: m.VM, Timeout: m.Patience}); err != nil {
		return fmt.Errorf("attach to the gdbstub: %w", err)
	}
	m.reader, err = task.NewReader(m.Stub, m.image, m.arch)
	return err
}

// boot boots a machine and runs it to its agent's first mark.
func (s Spec) boot(ctx context.Context, c qemu.Config, console io.Writer) (_ *Machine, err error) {
	mark, err := markPoint(s.Image)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	c.Halted = true
	m, vm, err := s.launch(ctx, c, console)
	if err != nil {
		return nil, err
	}
	defer func() {
		s.count(ctx, err)
		if err != nil {
			m.Close()
		}
	}()
	defer m.reportIdle("the boot")()
	watched, cancel := m.Watch(ctx)
	defer cancel()
	timed, stop := patient(watched, m.VM, m.Patience)
	defer stop()
	if err = m.attach(timed, vm.GDB()); err == nil {
		err = m.toMark(timed)
	}
	if err == nil {
		err = m.meetAgent(timed, mark)
	}
	if err == nil {
		err = m.Align(timed)
	}
	err = limited(watched, timed, "the boot", m.Patience, err)
	m.console.CatchUp()
	var late *LimitError
	switch {
	case err == nil && m.console.Panic() != nil:
		// The kernel booted but reported an oops.
		return nil, &GuestError{What: "did not come up clean", Kernel: s.Image.Release, Console: m.console.Tail(tailLines), Oops: true, Err: m.console.Panic()}
	case err == nil:
		m.Boot = time.Since(began)
		return m, nil
	case errors.As(err, &late):
		return nil, &GuestError{What: "did not come up", Kernel: s.Image.Release, Console: m.console.Tail(tailLines), Err: late}
	case ctx.Err() == nil && watched.Err() != nil:
		err = context.Cause(watched)
	}
	return nil, m.Explain(ctx, "boot", err)
}

// restore starts a machine from a snapshot's device state and the memory in its
// configuration. The machine is stopped where it was saved.
func (s Spec) restore(ctx context.Context, c qemu.Config, state []byte, agent agentNote, console io.Writer) (*Machine, error) {
	m, vm, err := s.launch(ctx, c, console)
	if err != nil {
		return nil, err
	}
	defer m.reportIdle("the start from a snapshot")()
	timed, cancel := patient(ctx, m.VM, m.Patience)
	defer cancel()
	err = vm.Restore(timed, bytes.NewReader(state))
	if err == nil {
		err = m.attach(timed, vm.GDB())
	}
	if err == nil {
		err = m.Stub.SetStopped(timed, agent.Thread)
	}
	if err == nil {
		err = m.setFlags(timed, agent.Flags)
	}
	if err == nil {
		err = m.Align(timed)
	}
	if err != nil {
		defer m.Close()
		err = limited(ctx, timed, "the start from a snapshot", m.Patience, err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &Error{Op: "start from a snapshot", Console: m.console.Tail(tailLines), Err: err}
	}
	m.Agent = (&guest.Agent{Mailbox: agent.Mailbox, Landing: agent.Landing}).With(memory{m.Stub}, m.resume)
	return m, nil
}

// count records a boot and its result.
func (s Spec) count(ctx context.Context, err error) {
	if s.Snapshots == nil || ctx.Err() != nil || err != nil && !Died(err) {
		return
	}
	version, verr := s.Version(ctx)
	count := snapshot.Boots{Arch: s.Arch.Name, Kernel: s.Image.Release, SHA256: s.Image.SHA256, QEMU: version, Tries: 1}
	if Died(err) {
		count.Oopses = 1
	}
	if verr == nil {
		verr = s.Snapshots.CountBoot(ctx, count)
	}
	if verr != nil {
		s.stage("%v", verr) // a run continues without the record
	}
}

// TryBoot boots the machine, ends it and records the result. It reports whether the
// guest booted without an oops.
func (s Spec) TryBoot(ctx context.Context) (clean bool, err error) {
	m, err := s.boot(ctx, s.Config(), io.Discard)
	if Died(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.Close()
	return true, nil
}

var _ Emulator = (*qemu.VM)(nil)
