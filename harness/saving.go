package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
)

// bootTries is how often a boot that the kernel does not survive is tried for a
// snapshot.
const bootTries = 3

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
