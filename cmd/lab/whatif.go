package main

import (
	"context"
	"slices"

	"kernellab/harness/matrix"
	"kernellab/harness/report"
	"kernellab/internal/usage"
)

// runWhatIf runs the lab and a variation of it on every kernel, and prints what is
// different. Nothing is graded: the exit code is 0 if the runs were made.
func (a *app) runWhatIf(ctx context.Context, f runFlags) error {
	w, err := f.Lab.WhatIf(f.whatIf)
	switch {
	case err != nil:
		return err
	case f.Submission != nil || f.At != "" || f.Rewind > 0 || f.Out != "" || f.seeds > 0:
		return usage.Errorf("--what-if compares two runs of the lab's own program and keeps no files: leave out --submission, --out, --seeds, --at and --rewind")
	case !slices.Contains(report.WhatIfFormats(), f.Format):
		return usage.Unknown("format of --what-if", f.Format, report.WhatIfFormats(), "use text or json")
	}
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	all, err := matrix.WhatIf{Host: host, Machine: f.Machine}.Run(ctx, f.Lab, w, f.Kernels)
	if err != nil {
		return err
	}
	return report.WriteWhatIf(a.stdout, f.Format, all, report.Terminal(a.stdout))
}
