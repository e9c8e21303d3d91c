package matrix

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/seeds"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// MaxSeeds is the most seeds of a Seeds.
const MaxSeeds = 1000

// Seeds is how a lab is run with the seeds 1 to N.
type Seeds struct {
	Host    prepare.Host
	Machine prepare.Machine
	N       int
	AtOnce  int // runs at a time, 0 is as many as there is room for
}

// Run runs the lab on kernels, one after the other, and returns the runs of each in the
// order of their seeds, and the results of all. A run that could not be graded is one of
// them.
func (s Seeds) Run(ctx context.Context, l labs.Lab, k prepare.Kernels) ([]report.Seeds, verdict.Document, error) {
	doc := verdict.NewDocument()
	targets, err := s.Host.Open(ctx, k)
	if err != nil {
		return nil, doc, err
	}
	var all []report.Seeds
	for _, t := range targets {
		s.Host.Progress.Say("%s on %s: %d seeds", l.Name, t.Name(), s.N)
		runs, err := s.on(ctx, l, t)
		if err != nil {
			return nil, doc, err
		}
		t.Image.SaveQueries()
		all = append(all, report.Seeds{Lab: l.Name, Arch: t.Arch.Name, Kernel: t.Image.Release, Runs: runs})
		for _, r := range runs {
			doc.Results = append(doc.Results, r.Result)
		}
	}
	s.Host.Progress.Done()
	return all, doc, nil
}

// on runs the lab on one kernel.
func (s Seeds) on(ctx context.Context, l labs.Lab, t prepare.Target) ([]seeds.Run, error) {
	runs := make([]seeds.Run, s.N)
	job, err := s.Host.Job(ctx, l, t, s.Machine)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(harness.AtOnce(s.AtOnce))
	var done sync.Mutex
	ended := 0
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
			if ended++; ended%10 == 0 || r.Result.Verdict != verdict.Pass {
				s.Host.Progress.Say("seed %d: %s (%d of %d)", r.Seed, strings.ToLower(string(r.Result.Verdict)), ended, s.N)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("run %s with %d seeds: %w", l.Name, s.N, err)
	}
	return runs, nil
}
