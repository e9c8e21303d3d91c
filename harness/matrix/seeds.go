package matrix

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/seeds"
	"kernellab/labs"
)

// Seeds is how a lab is run with the seeds 1 to N on one kernel.
type Seeds struct {
	Host    prepare.Host
	Machine prepare.Machine
	N       int
	AtOnce  int             // runs at a time, 0 is as many as there is room for
	Done    func(seeds.Run) // called after each run, by one goroutine at a time
}

// Run runs the lab, and returns the runs in the order of their seeds. A run that
// could not be graded is one of them.
func (s Seeds) Run(ctx context.Context, l labs.Lab, t prepare.Target) ([]seeds.Run, error) {
	runs := make([]seeds.Run, s.N)
	job, err := s.Host.Job(ctx, l, t, s.Machine)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(harness.AtOnce(s.AtOnce))
	var done sync.Mutex
	for i := range runs {
		g.Go(func() error {
			one := job
			one.Machine.Seed, one.Machine.Stage = uint32(i+1), nil
			// A snapshot for each seed would drive out those that are used again.
			one.Machine.Cold, one.Again = one.Machine.Cold || i+1 != prepare.DefaultSeed, false
			r := seeds.Run{Seed: uint32(i + 1)}
			out, err := harness.Run(ctx, one)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				r.Result = grade.Failure(one.Rules, t.Image.Release, err)
			default:
				r.Trace, r.Result = out.Trace, out.Result
			}
			done.Lock()
			defer done.Unlock()
			runs[i] = r
			s.Done(r)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("run %s with %d seeds: %w", l.Name, s.N, err)
	}
	return runs, nil
}
