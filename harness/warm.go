package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
	"kernellab/images/guest"
)

// A run does not boot: it starts from a snapshot of a guest whose agent has said
// that it is ready and waits for a session. No key has been exchanged then, so
// every run has a session of its own. What such guests have in common, beside
// their memory, is the state of the kernel's random numbers, the time they were
// booted at, and the pids they give: nothing that a lab is about, and nothing to
// make secrets with.

// bootTries is how often a boot that the kernel does not survive is tried for a
// snapshot.
const bootTries = 3

// Start starts the job's machine without running anything in it: from a snapshot,
// or by booting. The boot's text and the console's go to console. With Keep the
// machine may have the program, which its initramfs holds, at its first stop.
func (j Job) Start(ctx context.Context, console io.Writer) (*Machine, error) {
	return j.prepared(ctx, j.config(), nil, console)
}

// Begin makes the program's process in the job's machine, unless it has it: it is
// to be let go, or stands at its first stop.
func (j Job) Begin(ctx context.Context, m *Machine) (proc *guest.Process, stands bool, err error) {
	if m.stands != nil {
		return m.stands.proc, true, nil
	}
	proc, err = j.start(ctx, m, nil)
	return proc, false, err
}

// config is the job's machine.
func (j Job) config() qemu.Config {
	return qemu.Config{Arch: j.Arch, Kernel: j.Kernel, Initrd: j.Initrd, Binary: j.QEMU}
}

// machine starts the job's machine: from a snapshot, which is made when there is
// none, or by booting it. bring is the program, unless the guest holds it.
func (j Job) machine(ctx context.Context, c qemu.Config, bring []byte, console io.Writer) (*Machine, error) {
	if j.Snapshots == nil || j.Cold {
		j.stage(fmt.Sprintf("booting %s (%s)", j.Image.Release, j.Arch.Name))
		return j.boot(ctx, func(ctx context.Context) (*Machine, error) {
			return boot(ctx, c, j.Image.Release, asked(j.BootTimeout, bootLimit, j.slowness()), j.slowness(), console)
		})
	}
	m, err := j.warm(ctx, c, bring, console)
	var guestErr *GuestError
	if err == nil || ctx.Err() != nil || errors.As(err, &guestErr) {
		return m, err
	}
	// Whatever is wrong with the snapshots, the lab can be run without.
	j.stage(fmt.Sprintf("booting instead of starting from a snapshot: %v", err))
	j.Cold = true
	return j.machine(ctx, c, bring, console)
}

// boot counts a boot and how it ended.
func (j Job) boot(ctx context.Context, start func(context.Context) (*Machine, error)) (*Machine, error) {
	m, err := start(ctx)
	if j.Snapshots == nil || ctx.Err() != nil || err != nil && !isOops(err) {
		return m, err
	}
	version, verr := j.version(ctx)
	count := snapshot.Boots{Arch: j.Arch.Name, Kernel: j.Image.Release, QEMU: version, Tries: 1}
	if isOops(err) {
		count.Oopses = 1
	}
	if verr == nil {
		verr = j.Snapshots.CountBoot(ctx, count)
	}
	if verr != nil {
		j.stage(verr.Error()) // a count is no reason to end a run
	}
	return m, err
}

// TryBoot boots the job's machine, ends it and counts how the boot ended. It
// reports whether the guest came up without an oops.
func (j Job) TryBoot(ctx context.Context) (clean bool, err error) {
	_, err = j.boot(ctx, func(ctx context.Context) (*Machine, error) {
		var text bytes.Buffer
		m, err := await(ctx, j.config(), j.Image.Release, asked(j.BootTimeout, bootLimit, j.slowness()), j.slowness(), &text)
		if err != nil {
			return nil, err
		}
		m.Close() // and with it, what writes to text
		return nil, m.unclean(strings.Split(text.String(), "\n"))
	})
	if isOops(err) {
		return false, nil
	}
	return err == nil, err
}

// unclean returns what an oops on the console of a machine that came up all the
// same is, or nil.
func (m *Machine) unclean(console []string) error {
	why := died(console)
	if why == "" {
		return nil
	}
	return &GuestError{What: "did not come up clean", Kernel: m.kernel, Console: console[max(0, len(console)-tailLines):], Oops: true, Err: errors.New(why)}
}

// warm starts the machine from its snapshot.
func (j Job) warm(ctx context.Context, c qemu.Config, bring []byte, console io.Writer) (*Machine, error) {
	began := time.Now()
	key, snap, err := j.obtain(ctx, c)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	console.Write(snap.Console)
	if made := time.Since(began); made > snap.Boot {
		began = time.Now()
	}
	saved := saved{snap.RAM, snap.State, landingOf(snap.Note)}
	m, err := j.restore(ctx, c, saved, bring, tryLimit, console)
	var late *LimitError
	if errors.As(err, &late) && ctx.Err() == nil {
		// The same snapshot lived when it was made: the host may be starved.
		m, err = j.restore(ctx, c, saved, bring, restoreLimit, console)
	}
	if err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, j.Snapshots.Discard(ctx, key))
		}
		return nil, err
	}
	m.Boot, m.Restored = snap.Boot, time.Since(began)
	m.discard = func(ctx context.Context) error { return j.Snapshots.Discard(ctx, key) }
	return m, nil
}

// obtain opens the snapshot of the job's machine, which is made when there is none.
func (j Job) obtain(ctx context.Context, c qemu.Config) (snapshot.Key, *snapshot.Snapshot, error) {
	key, err := j.key(ctx, c)
	if err != nil {
		return key, nil, err
	}
	snap, err := j.Snapshots.Obtain(ctx, key, c.Size(), func(ctx context.Context, d *snapshot.Draft) error {
		return j.snapshot(ctx, c, d)
	})
	return key, snap, err
}

// key names the job's machine by everything its snapshot depends on.
func (j Job) key(ctx context.Context, c qemu.Config) (k snapshot.Key, err error) {
	k.Machine, k.Kernel = c.Identity(), j.Image.SHA256
	if k.Initrd, err = j.Snapshots.Digest(ctx, c.Initrd); err != nil {
		return k, err
	}
	if k.Binary, err = snapshot.Identity(c.Path()); err != nil {
		return k, err
	}
	k.QEMU, err = j.version(ctx)
	return k, err
}

// version returns QEMU's version, asked once for each executable.
func (j Job) version(ctx context.Context) (string, error) {
	binary := qemu.Config{Arch: j.Arch, Binary: j.QEMU}.Path()
	path, err := exec.LookPath(binary)
	if j.Snapshots == nil || err != nil {
		return qemu.Version(ctx, binary)
	}
	return j.Snapshots.Fact(ctx, "version", path, func() (string, error) { return qemu.Version(ctx, path) })
}

// snapshot boots the machine and saves it. Only a guest that came up without an
// oops, whose agent is ready, and whose copy answers is one to start from.
func (j Job) snapshot(ctx context.Context, c qemu.Config, d *snapshot.Draft) error {
	var err error
	for try := 1; try <= bootTries; try++ {
		j.stage(fmt.Sprintf("booting %s (%s) once, for a snapshot", j.Image.Release, j.Arch.Name))
		err = j.snapshotOnce(ctx, c, d)
		if !isOops(err) || ctx.Err() != nil {
			return err
		}
		if try < bootTries {
			j.stage(fmt.Sprintf("%v; this happens to stock kernels under emulation, trying once more", err))
		}
	}
	return err
}

// settle is how long the guest is given to fall idle after its agent's hello,
// which it repeats every 250 ms. saveTries bounds how often it is given twice as
// long, when the copy does not live.
const (
	settle    = 100 * time.Millisecond
	saveTries = 4
)

func (j Job) snapshotOnce(ctx context.Context, c qemu.Config, d *snapshot.Draft) error {
	if err := errors.Join(d.RAM.Truncate(0), d.RAM.Truncate(c.Size())); err != nil {
		return err
	}
	c.RAM, c.Parcel = d.RAM, nil
	var text bytes.Buffer
	m, err := j.boot(ctx, func(ctx context.Context) (*Machine, error) {
		return await(ctx, c, j.Image.Release, asked(j.BootTimeout, bootLimit, j.slowness()), j.slowness(), &text)
	})
	if err != nil {
		return err
	}
	defer m.Close()
	saved := saved{ram: d.RAM}
	for try := range saveTries {
		if saved.state, err = j.save(ctx, m, settle<<try); err != nil {
			return err
		}
		if saved.landing, err = j.tryOut(ctx, c, saved); err == nil || ctx.Err() != nil || isOops(err) {
			break
		}
		j.stage(fmt.Sprintf("the snapshot does not live (%v): another", err))
		if cerr := m.VM.Cont(ctx); cerr != nil {
			return errors.Join(err, cerr)
		}
	}
	if err != nil {
		return err
	}
	m.Close() // and with it, what writes to text
	if err := m.unclean(strings.Split(text.String(), "\n")); err != nil {
		return err
	}
	d.Boot = m.Boot
	if _, err = d.State.Write(saved.state); err == nil {
		_, err = d.Console.Write(text.Bytes())
	}
	if err == nil {
		err = json.NewEncoder(d.Note).Encode(saved.landing)
	}
	return err
}

// save waits for the guest to fall idle and saves it.
func (j Job) save(ctx context.Context, m *Machine, idle time.Duration) ([]byte, error) {
	t := time.NewTimer(idle)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-m.Agent.Done():
		return nil, m.Explain(ctx, "make a snapshot", m.Agent.Err())
	}
	state, err := m.save(ctx)
	if err != nil {
		return nil, m.Explain(ctx, "make a snapshot", err)
	}
	return state, nil
}

// save returns the state of the machine's devices, and leaves it stopped.
func (m *Machine) save(ctx context.Context) ([]byte, error) {
	var state bytes.Buffer
	err := m.VM.Save(ctx, &state)
	return state.Bytes(), err
}

// saved is a guest to be restored.
type saved struct {
	ram     *os.File
	state   []byte
	landing landing
}

// tryOut restores a snapshot once, to see its agent answer and its clock tick. It
// returns where a program can be written to in it.
func (j Job) tryOut(ctx context.Context, c qemu.Config, s saved) (landing, error) {
	var l landing
	m, err := j.restore(ctx, c, s, nil, tryLimit, io.Discard)
	if err != nil {
		return l, err
	}
	defer m.Close()
	var before, after int
	err = m.answered(ctx, func(ctx context.Context) (err error) {
		if l.Pages, err = m.Agent.Landing(ctx); err != nil {
			return err
		}
		if before, err = m.ticks(ctx); err != nil {
			return err
		}
		for range 20 { // each takes the guest some ticks
			if after, err = m.ticks(ctx); err != nil || after > before {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return l, m.Explain(ctx, "try the snapshot", err)
	}
	if after <= before {
		return l, &Error{Op: "try the snapshot", Err: errors.New("the guest's clock does not tick")}
	}
	return l, nil
}

// ticks counts the guest's timer interrupts.
func (m *Machine) ticks(ctx context.Context) (int, error) {
	text, err := m.Agent.ReadFile(ctx, "/proc/interrupts")
	if err != nil {
		return 0, err
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && strings.Contains(line, "timer") {
			n, _ := strconv.Atoi(f[1])
			sum += n
		}
	}
	return sum, nil
}

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
