package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
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

// Start starts the job's machine without running anything in it: from a snapshot,
// or by booting. The boot's text and the console's go to console. With Keep the
// machine may have the program, which its initramfs holds, at its first stop.
func (j Job) Start(ctx context.Context, console io.Writer) (*Machine, error) {
	return j.prepared(ctx, j.config(), nil, console)
}

// Begin returns the program's process in the job's machine, which is made unless it
// stands at its first stop there.
func (j Job) Begin(ctx context.Context, m *Machine) (proc *guest.Process, stands bool, err error) {
	if m.stands != nil {
		return m.stands.proc, true, nil
	}
	proc, err = j.start(ctx, m, nil)
	return proc, false, err
}

// config is the job's machine.
func (j Job) config() qemu.Config {
	return qemu.Config{Arch: j.Arch, Kernel: j.Kernel, Initrd: j.Initrd, Command: j.QEMU}
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
	command := j.QEMU
	if len(command) == 0 {
		command = []string{j.Arch.QEMU.Binary}
	}
	path, err := exec.LookPath(command[0])
	if j.Snapshots == nil || err != nil {
		return qemu.Version(ctx, command)
	}
	return j.Snapshots.Fact(ctx, "version", path, func() (string, error) { return qemu.Version(ctx, command) })
}
