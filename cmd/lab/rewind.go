package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// checkBack checks --at and --rewind before anything is run.
func checkBack(l labs.Lab, f runFlags) error {
	switch {
	case !f.back():
		return nil
	case f.at != "" && f.rewind > 0:
		return usage.Errorf("--at and --rewind are two ways to name a stop: give one")
	case f.format != "text":
		return usage.Errorf("--at and --rewind show a stop as text, not as %s", f.format)
	case f.at != "":
		machines, err := prepare.Archs(f.Arch)
		if err != nil {
			return err
		}
		return prepare.CheckPoint(l, l.Name, machines[0].Name, f.at)
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
		fmt.Fprintf(w, "\nBack at stop %d of %d, %s (%s), after %.2f s:\n\n", place.Step, of, s.Event.Point, s.Event.Symbol, time.Since(began).Seconds())
		return s.Write(ctx, w, t.Arch)
	})
}
