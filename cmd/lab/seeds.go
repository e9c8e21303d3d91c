package main

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
	"kernellab/internal/progress"
	"kernellab/labs"
)

// maxSeeds bounds --seeds.
const maxSeeds = 1000

// runSeeds runs the lab with the seeds 1 to n on every target and prints what varied.
func (a *app) runSeeds(ctx context.Context, l labs.Lab, f runFlags) error {
	p := progress.New(a.stderr)
	defer p.Done()
	a.sweep()
	targets, err := a.host(p).Open(ctx, prepare.Kernels{Arch: f.arch, Names: f.kernels})
	if err != nil {
		return err
	}
	var all []report.Seeds
	doc := grade.NewDocument()
	for _, t := range targets {
		s, err := a.seedsOn(ctx, l, t, f, p)
		if err != nil {
			return err
		}
		t.Image.Keep()
		all = append(all, s)
		for _, r := range s.Runs {
			doc.Results = append(doc.Results, r.Result)
		}
	}
	p.Done()
	a.code = doc.ExitCode()
	return report.WriteSeeds(a.stdout, f.format, all)
}

// seedsOn runs the lab on one target, several seeds at a time.
func (a *app) seedsOn(ctx context.Context, l labs.Lab, t prepare.Target, f runFlags, p *progress.Log) (report.Seeds, error) {
	s := report.Seeds{Lab: l.Name, Arch: t.Arch.Name, Kernel: t.Image.Release, Runs: make([]seeds.Run, f.seeds)}
	job, err := a.host(p).Job(ctx, l, t, f.Machine)
	if err != nil {
		return s, err
	}
	p.Say("%s on %s: %d seeds", l.Name, t.Name(), f.seeds)
	g, ctx := errgroup.WithContext(ctx)
	if g.SetLimit(harness.Room()); f.jobs > 0 {
		g.SetLimit(f.jobs)
	}
	var done sync.Mutex
	ended := 0
	for i := range f.seeds {
		g.Go(func() error {
			one := job
			one.Machine.Seed, one.Machine.Stage = uint32(i+1), nil
			// A snapshot for each seed would drive out those that are of use again.
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
			s.Runs[i] = r
			if ended++; ended%10 == 0 || r.Result.Verdict != grade.Pass {
				p.Say("seed %d: %s (%d of %d)", r.Seed, strings.ToLower(string(r.Result.Verdict)), ended, f.seeds)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return s, fmt.Errorf("run %s with %d seeds: %w", l.Name, f.seeds, err)
	}
	return s, nil
}
