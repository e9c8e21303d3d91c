package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/task/listing"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// stackBytes is how much of the stack is shown at a stop gone back to.
const stackBytes = 32 * 8

// checkBack checks --at and --rewind before anything is run.
func checkBack(l labs.Lab, f runFlags) error {
	switch {
	case !f.back() && f.rewind == 0:
		return nil
	case f.rewind < 0:
		return usage.Errorf("--rewind %d: stops are counted from the end, 1 is the last", f.rewind)
	case f.at != "" && f.rewind > 0:
		return usage.Errorf("--at and --rewind are two ways to name a stop: give one")
	case f.format != "text":
		return usage.Errorf("--at and --rewind show a stop as text, not as %s", f.format)
	case f.at != "":
		machines, err := prepare.Archs(f.arch)
		if err != nil {
			return err
		}
		return checkPoint(l, l.Name, machines[0].Name, f.at)
	}
	return nil
}

// checkPoint checks that a lab has a point; called is what the lab was called.
func checkPoint(l labs.Lab, called, arch, point string) error {
	if known := pointNames(l, arch); !slices.Contains(known, point) {
		return usage.Unknown("point of "+called, point, known, "lab show "+called+" tells them")
	}
	return nil
}

// goBack stops once more at a stop of a run that is over: the guest is restored
// from the same snapshot and runs forward to it. It takes the same path.
func goBack(ctx context.Context, w io.Writer, host prepare.Host, l labs.Lab, t prepare.Target, f runFlags, tr *trace.Trace) error {
	began := time.Now()
	place, of, err := inspect.Back(tr, l, f.at, f.rewind)
	if err != nil {
		return err
	}
	return inspect.Guest(ctx, host, t, f.Machine, place, func(ctx context.Context, s *inspect.Stop) error {
		host.Progress.Done()
		current, err := s.Task(ctx, inspect.Selection{})
		if err != nil {
			return err
		}
		sp, memory, err := s.StackMemory(ctx, t.Arch, stackBytes)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\nBack at stop %d of %d, %s (%s), after %.2f s:\n\n", place.Step, of, s.Event.Point, s.Event.Symbol, time.Since(began).Seconds())
		return errors.Join(
			listing.Task(w, current.Task), listing.Header(w, "stack"),
			listing.Stack(w, current.Task.Task, s.Event.CPU, s.View.BacktraceVariables(ctx, s.Current, s.Registers)),
			listing.Header(w, "arguments and reads"), listing.Values(w, s.Event),
			listing.Header(w, "registers"), listing.Registers(w, s.Registers),
			listing.Header(w, "memory at the stack pointer"), listing.Memory(w, sp, memory))
	})
}
