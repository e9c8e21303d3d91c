// Package inspect stops a guest and reads its tasks: where the guest is ready for a
// lab, at a point of a lab's run, once more at a stop of a run that is over, or at intervals
// of its own time.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/probe"
	"kernellab/harness/task"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Place is where a guest is stopped.
type Place struct {
	Lab   labs.Lab // any, when Point is ""
	Point string   // of the lab; "" is where the guest is ready for a lab
	// Step is the stop in the run, counted from 1 without asides; it is one at Point.
	// 0 is the first stop at Point.
	Step int
	// Exact stops where the lab's run does. Otherwise the stop is at the function
	// itself, if the kernel's vmlinux says where it was inlined.
	Exact bool
}

// PlaceAt is where the guest is stopped for a person who names a lab and one of its
// points: "" are the place where it is ready for a lab, and the lab's first point.
func PlaceAt(lab, point, arch string) (Place, error) {
	if lab == "" {
		if point != "" {
			return Place{}, usage.Errorf("--at needs --lab: whose point is %s?", point)
		}
		all, err := labs.All()
		if err != nil {
			return Place{}, err
		}
		return Place{Lab: all[0]}, nil // any: the guest is the same
	}
	l, err := prepare.Lab(lab)
	if err != nil {
		return Place{}, err
	}
	if point == "" {
		point = l.PointNames(arch)[0]
	}
	return Place{Lab: l, Point: point}, prepare.CheckPoint(l, lab, arch, point)
}

// Stop is a stopped guest.
type Stop struct {
	View      *task.View
	Current   uint64            // address of the running task's task_struct
	Registers map[string]uint64 // of the running task
	Machine   *machine.Machine

	// Of a stop in a run; zero when the guest is not in one:
	Here  *probe.Here
	Event trace.Event
	Step  int // the stop's number, counted from 1 without asides
}

// Run is a run of a lab to a place in it. All that shows a moment of a run, or begins at
// one, gets there by a Run: a run repeats exactly, so that going back is running to an
// earlier place once more.
type Run struct {
	Host    prepare.Host
	Target  prepare.Target
	Machine prepare.Machine
	Place   Place
	// Passed, if it is not nil, is called at each stop of the lab on the way.
	Passed func(context.Context, *Stop) error
	// Guest is that of harness.Job.
	Guest func(*machine.Machine) probe.Guest
	// Early says that the program runs to the lab's first stop too. Otherwise it is
	// restored there, from a snapshot.
	Early bool
}

// Guest starts a guest, stops it at p and calls look once. The error of look is
// returned, and a pid that does not exist is a mistake of the caller.
func Guest(ctx context.Context, h prepare.Host, t prepare.Target, m prepare.Machine, p Place, look func(context.Context, *Stop) error) error {
	return Run{Host: h, Target: t, Machine: m, Place: p}.To(ctx, look)
}

// To runs to the place and calls look once there, like [Guest].
func (r Run) To(ctx context.Context, look func(context.Context, *Stop) error) error {
	job, err := r.Host.Job(ctx, r.Place.Lab, r.Target, r.Machine)
	if err != nil {
		return err
	}
	if r.Place.Point == "" {
		m, err := job.Machine.Start(ctx, io.Discard)
		if err != nil {
			return err
		}
		defer m.Close()
		return explain(ctx, m, m.Guard(ctx, "the look at the guest", func(ctx context.Context) error {
			s, err := stopped(ctx, m, r.Target)
			if err != nil {
				return err
			}
			return look(ctx, s)
		}))
	}
	if job.Again = !r.Early; !r.Place.Exact {
		bare, moved := probe.Bare(r.Target.Image, job.Plan, r.Place.Point)
		if moved {
			r.Host.Progress.Say("%s is inlined: stopping at its first instruction there; the graded run stops at what stands in for it", r.Place.Point)
		}
		job.Plan, job.Again = bare, job.Again && !moved
	}
	job.Guest = r.Guest
	o, err := job.Open(ctx, io.Discard)
	if err != nil {
		return err
	}
	defer o.Machine.Close()
	watched, unwatch := o.Machine.Watch(ctx)
	defer unwatch()
	reached, steps := false, 0
	err = job.Drive(watched, o, func(trace.Event) error { return nil }, func(ctx context.Context, h *probe.Here) (bool, error) {
		if h.Event.Aside == "" {
			steps++
		}
		ok, err := r.Place.is(h.Event, steps)
		if err != nil || !ok && r.Passed == nil {
			return false, err
		}
		s := &Stop{
			View: h.View, Current: uint64(h.Event.Task.Address), Registers: h.Registers, Machine: o.Machine,
			Here: h, Event: h.Event, Step: steps,
		}
		if !ok {
			return false, r.Passed(ctx, s)
		}
		reached = true
		return true, look(ctx, s)
	})
	if errors.Is(err, probe.ErrDied) {
		err = nil // as the lab expects
	}
	if err == nil && !reached {
		return fmt.Errorf("%s ended without coming to %s", r.Place.Lab.Name, r.Place.Point)
	}
	return explain(ctx, o.Machine, err)
}

// is reports whether the place is the stop of e, before or at which there were so
// many steps.
func (p Place) is(e trace.Event, steps int) (bool, error) {
	switch {
	case p.Step == 0:
		return e.Point == p.Point, nil
	case e.Aside != "" || steps < p.Step:
		return false, nil
	case e.Point != p.Point:
		return false, fmt.Errorf("stop %d of this run is at %s, it was at %s before, though a run repeats exactly", steps, e.Point, p.Point)
	}
	return true, nil
}

// explain finds whose fault err is; a pid that does not exist is the caller's.
func explain(ctx context.Context, m *machine.Machine, err error) error {
	var missing *task.NoTaskError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &missing):
		return usage.Wrap(missing)
	}
	return m.Explain(ctx, "look at the guest", err)
}

// stopped is the guest as its debugger stopped it.
func stopped(ctx context.Context, m *machine.Machine, t prepare.Target) (*Stop, error) {
	reader, err := task.NewReader(m.Stub, t.Image, t.Arch)
	if err != nil {
		return nil, err
	}
	s := &Stop{Machine: m}
	if s.Registers, err = m.Stub.Registers(ctx); err != nil {
		return nil, err
	}
	if s.Current, err = reader.Current(ctx, s.Registers); err != nil {
		return nil, err
	}
	s.View = reader.View()
	return s, nil
}

// Back finds a stop in a trace: the first at a point, or the one that is so many
// from the end, where 1 is the last. of is how many stops the run has, without asides.
func Back(tr *trace.Trace, l labs.Lab, point string, rewind int) (p Place, of int, err error) {
	var stops []trace.Event
	for _, e := range tr.Events {
		if e.Kind == trace.KindStop && e.Aside == "" {
			stops = append(stops, e)
		}
	}
	for i, e := range stops {
		if point != "" && e.Point == point || point == "" && i == len(stops)-rewind {
			return Place{Lab: l, Point: e.Point, Step: i + 1, Exact: point == ""}, len(stops), nil
		}
	}
	if point != "" {
		return Place{}, len(stops), usage.Errorf("--at %s: the run did not stop there", point)
	}
	return Place{}, len(stops), usage.Errorf("--rewind %d: the run has %d stops: give 1 to %d", rewind, len(stops), len(stops))
}

// stackBytes is how much of the stack Write shows.
const stackBytes = 32 * 8

// Write writes all there is at a stop of a run: the running task, its stack, what the
// event recorded, the registers and the memory at the stack pointer.
func (s *Stop) Write(ctx context.Context, w io.Writer, a arch.Arch) error {
	current, err := s.Task(ctx, Selection{})
	if err != nil {
		return err
	}
	sp, memory, err := s.stackMemory(ctx, a, stackBytes)
	if err != nil {
		return err
	}
	return errors.Join(
		listing.Task(w, current.Task), listing.Header(w, "stack"),
		listing.Stack(w, current.Task.Task, s.Event.CPU, s.View.BacktraceVariables(ctx, s.Current, s.Registers)),
		listing.Header(w, "arguments and reads"), listing.Values(w, s.Event),
		listing.Header(w, "registers"), listing.Registers(w, s.Registers),
		listing.Header(w, "memory at the stack pointer"), listing.Memory(w, sp, memory))
}

// stackMemory reads the memory at the stack pointer, at most size bytes and not
// beyond the end of the running task's stack.
func (s *Stop) stackMemory(ctx context.Context, a arch.Arch, size uint64) (sp uint64, memory []byte, err error) {
	sp = s.Registers[a.Registers.SP]
	if _, top, err := s.View.Stack(ctx, s.Current); err == nil && sp < top {
		size = min(size, (top-sp)&^7)
	}
	memory = make([]byte, size)
	if err := s.View.Read(ctx, sp, memory); err != nil {
		return sp, nil, fmt.Errorf("read the stack: %w", err)
	}
	return sp, memory, nil
}
