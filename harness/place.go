package harness

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"kernellab/harness/probe"
	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/images/guest"
)

// Most of what a run from a snapshot takes is code that is new to QEMU each time:
// the agent's, exec's, the start of the program's runtime. None of it is what the
// lab is about. So a program that is run more than once has a snapshot of its own,
// of the guest in which it stands at the first stop that is part of the lab, which
// every run of it would come to in the same way. From there on all is live.

// place is where a program stands in a snapshot: its note.
type place struct {
	Session guest.Session
	Events  []trace.Event // asides on the way there

	proc *guest.Process
}

// errStands ends the drive to a place.
var errStands = errors.New("the program stands at its first stop")

// prepared starts the job's machine: with its program at its first stop, or ready
// for it.
func (j Job) prepared(ctx context.Context, c qemu.Config, bring []byte, console io.Writer) (*Machine, error) {
	if j.Snapshots == nil || j.Cold || !j.Keep {
		return j.machine(ctx, c, bring, console)
	}
	m, err := j.atFirstStop(ctx, c, bring, console)
	if err == nil || ctx.Err() != nil {
		return m, err
	}
	// Whatever is wrong with it, the program can be started.
	if !errors.Is(err, errNoStop) {
		j.stage(fmt.Sprintf("starting the program anew: %v", err))
	}
	return j.machine(ctx, c, bring, console)
}

// atFirstStop starts the machine in which the program stands at its first stop,
// from a snapshot, which is made when there is none.
func (j Job) atFirstStop(ctx context.Context, c qemu.Config, bring []byte, console io.Writer) (*Machine, error) {
	key, err := j.placeKey(ctx, c)
	if err != nil {
		return nil, err
	}
	snap, err := j.Snapshots.Obtain(ctx, key, c.Size(), func(ctx context.Context, d *snapshot.Draft) error {
		return j.makePlace(ctx, c, bring, d)
	})
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	began := time.Now()
	stands := &place{}
	if err := json.Unmarshal(snap.Note, stands); err != nil {
		return nil, errors.Join(&Error{Op: "read the snapshot's note", Err: err}, j.Snapshots.Discard(ctx, key))
	}
	console.Write(snap.Console)
	c.Parcel = nil // its program was taken in
	m, err := j.load(ctx, c, snap.RAM, snap.State, stretched(restoreLimit, j.slowness()))
	if err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, j.Snapshots.Discard(ctx, key))
		}
		return nil, err
	}
	m.Agent, stands.proc = guest.Resume(m.VM.Console(), guest.Options{Log: console}, stands.Session)
	m.stands = stands
	m.Boot, m.Restored = snap.Boot, time.Since(began)
	m.discard = func(ctx context.Context) error { // the one that it was made from may be as bad
		base := key
		base.Place = nil
		return errors.Join(j.Snapshots.Discard(ctx, key), j.Snapshots.Discard(ctx, base))
	}
	return m, nil
}

// placeKey names the place by the machine's key, the program, what it is started
// with, and where its first stop may be.
func (j Job) placeKey(ctx context.Context, c qemu.Config) (snapshot.Key, error) {
	key, err := j.key(ctx, c)
	if err != nil {
		return key, err
	}
	program, err := j.digest(ctx, j.Program)
	if err != nil {
		return key, err
	}
	points, err := probe.Resolve(j.Image, j.Plan)
	if err != nil {
		return key, err
	}
	plan, err := json.Marshal([]any{j.Plan, points})
	if err != nil {
		return key, err
	}
	key.Place = []string{j.ProgramName, program, fmt.Sprintf("%x", sha256.Sum256(plan))}
	return key, nil
}

// errNoStop says that a program has no place.
var errNoStop = errors.New("the program ended without a stop")

// makePlace lets the program run to its first stop in a copy of the guest that
// waits for it, and saves that.
func (j Job) makePlace(ctx context.Context, c qemu.Config, bring []byte, d *snapshot.Draft) error {
	_, base, err := j.obtain(ctx, c)
	if err != nil {
		return err
	}
	defer base.Close()
	j.stage(fmt.Sprintf("running %s to its first stop once, for a snapshot", j.ProgramName))
	if err := snapshot.Copy(d.RAM, base.RAM); err != nil {
		return fmt.Errorf("copy the guest's memory: %w", err)
	}
	c.Again = true
	m, err := j.restore(ctx, c, saved{d.RAM, base.State, landingOf(base.Note)}, bring, restoreLimit, d.Console)
	if err != nil {
		return err
	}
	defer m.Close()
	watched, cancel := m.watch(ctx)
	defer cancel()
	state, err := j.advance(watched, m, bring, d.Note)
	if errors.Is(err, errNoStop) {
		return err
	}
	if err != nil {
		return m.Explain(ctx, "run "+j.ProgramName+" to its first stop", err)
	}
	d.Boot = base.Boot
	if _, err = d.State.Write(state); err == nil {
		_, err = d.Console.Write(base.Console)
	}
	return err
}

// advance runs the program to its first stop, saves the machine, and writes down
// how to go on with it.
func (j Job) advance(ctx context.Context, m *Machine, bring []byte, note io.Writer) ([]byte, error) {
	proc, err := j.start(ctx, m, bring)
	if err != nil {
		return nil, err
	}
	stub, err := m.Stub(ctx)
	if err != nil {
		return nil, err
	}
	limit := stretched(tryLimit, m.slowness())
	timed, cancel := context.WithTimeout(ctx, limit.of)
	defer cancel()
	var on place
	err = probe.Drive(timed, probe.Config{
		Stub: stub, Image: j.Image, Arch: j.Arch, Plan: j.Plan, TGID: proc.PID, Began: time.Now(),
		Emit: func(e trace.Event) error {
			if e.Aside == "" {
				return errStands
			}
			on.Events = append(on.Events, e)
			return nil
		},
		Run: func(ctx context.Context) error {
			_, err := proc.Run(ctx)
			return err
		},
	})
	if err == nil || timed.Err() != nil && ctx.Err() == nil {
		return nil, errNoStop
	}
	if !errors.Is(err, errStands) {
		return nil, err
	}
	if err := stub.Park(ctx); err != nil {
		return nil, err
	}
	on.Session = proc.Session()
	if err := json.NewEncoder(note).Encode(on); err != nil {
		return nil, err
	}
	return m.save(ctx)
}
