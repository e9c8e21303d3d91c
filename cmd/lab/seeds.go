package main

import (
	"context"
	"strings"

	"kernellab/harness/matrix"
	"kernellab/harness/report"
	"kernellab/harness/seeds"
	"kernellab/harness/verdict"
	"kernellab/internal/progress"
	"kernellab/labs"
)

// maxSeeds bounds --seeds.
const maxSeeds = 1000

// runSeeds runs the lab with the seeds 1 to n on every target and prints what varied.
func (a *app) runSeeds(ctx context.Context, l labs.Lab, f runFlags) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	targets, err := a.host(p).Open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	var all []report.Seeds
	doc := verdict.NewDocument()
	for _, t := range targets {
		p.Say("%s on %s: %d seeds", l.Name, t.Name(), f.seeds)
		ended := 0
		s, err := matrix.Seeds{Host: a.host(p), Machine: f.Machine, N: f.seeds, AtOnce: f.jobs, Done: func(r seeds.Run) {
			if ended++; ended%10 == 0 || r.Result.Verdict != verdict.Pass {
				p.Say("seed %d: %s (%d of %d)", r.Seed, strings.ToLower(string(r.Result.Verdict)), ended, f.seeds)
			}
		}}.Run(ctx, l, t)
		if err != nil {
			return err
		}
		t.Image.SaveQueries()
		all = append(all, report.Seeds{Lab: l.Name, Arch: t.Arch.Name, Kernel: t.Image.Release, Runs: s})
		for _, r := range s {
			doc.Results = append(doc.Results, r.Result)
		}
	}
	p.Done()
	a.code = doc.ExitCode()
	return report.WriteSeeds(a.stdout, f.format, all)
}
