package matrix

import (
	"context"
	"fmt"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/whatif"
	"kernellab/labs"
)

// WhatIf is how a lab and a variation of it are run.
type WhatIf struct {
	Host    prepare.Host
	Machine prepare.Machine
}

// Run runs the lab and the variation on kernels, one after the other, and compares the
// two runs on each. An error says that a kernel could not be found or a run not be made.
func (s WhatIf) Run(ctx context.Context, l labs.Lab, w labs.WhatIf, k prepare.Kernels) ([]whatif.Comparison, error) {
	targets, err := s.Host.Open(ctx, k)
	if err != nil {
		return nil, err
	}
	var all []whatif.Comparison
	for _, t := range targets {
		c, err := s.on(ctx, l, w, t)
		if err != nil {
			return nil, err
		}
		t.Image.SaveQueries()
		all = append(all, c)
	}
	s.Host.Progress.Done()
	return all, nil
}

// on makes the two runs on one kernel.
func (s WhatIf) on(ctx context.Context, l labs.Lab, w labs.WhatIf, t prepare.Target) (whatif.Comparison, error) {
	run := func(what string, l labs.Lab, m prepare.Machine) (whatif.Run, error) {
		job, err := s.Host.Job(ctx, l, t, m)
		if err != nil {
			return whatif.Run{}, err
		}
		job.Machine.Stage = func(stage string) { s.Host.Progress.Say("%s: %s", what, stage) }
		out, err := harness.Run(ctx, job)
		if err != nil {
			return whatif.Run{}, fmt.Errorf("%s on %s, %s: %w", l.Name, t.Name(), what, err)
		}
		return whatif.Run{Trace: out.Trace, Result: out.Result, Steps: grade.Steps(out.Trace, job.Rules)}, nil
	}
	plain, err := run("the plain run", l, s.Machine)
	if err != nil {
		return whatif.Comparison{}, err
	}
	m := s.Machine
	if w.CPUs > 0 {
		m.CPUs = w.CPUs
	}
	if w.Seed >= 0 {
		m.Seed = uint32(w.Seed)
	}
	varied, err := run("the variation "+w.Name, l.Varied(w), m)
	if err != nil {
		return whatif.Comparison{}, err
	}
	c := whatif.Compare(plain, varied)
	c.Name, c.Means, c.Why = w.Name, w.Means, w.Why
	return c, nil
}
