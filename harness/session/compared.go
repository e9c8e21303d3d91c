package session

import (
	"context"
	"io"
	"slices"

	"kernellab/harness/matrix"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
)

// checkCompared returns a mistake of usage if the session can not compare runs as it says.
func (s Session) checkCompared() error {
	more := s.Submission != nil || s.back() || s.Out != ""
	if s.WhatIf != "" {
		_, err := s.Lab.WhatIf(s.WhatIf)
		switch {
		case err != nil:
			return err
		case more || s.Seeds > 0:
			return usage.Errorf("--what-if compares two runs of the lab's own program and keeps no files: leave out --submission, --out, --seeds, --at and --rewind")
		case !slices.Contains(report.WhatIfFormats(), s.Format):
			return usage.Unknown("format of --what-if", s.Format, report.WhatIfFormats(), "use text or json")
		}
	}
	switch {
	case s.Seeds == 0:
		return nil
	case more:
		return usage.Errorf("--seeds runs the lab's own program and keeps no files: leave out --submission, --out, --at and --rewind")
	case !slices.Contains(report.SeedsFormats(), s.Format):
		return usage.Unknown("format of --seeds", s.Format, report.SeedsFormats(), "use text or json")
	}
	return nil
}

// runSeeds runs the lab with several seeds on every kernel and reports what varied.
func (s Session) runSeeds(ctx context.Context, w io.Writer) (code int, err error) {
	all, doc, err := matrix.Seeds{Host: s.Host, Machine: s.Machine, N: s.Seeds, AtOnce: s.AtOnce}.Run(ctx, s.Lab, s.Kernels)
	if err != nil {
		return verdict.ExitError, err
	}
	return doc.ExitCode(), report.WriteSeeds(w, s.Format, all)
}

// runWhatIf runs the lab and a variation of it on every kernel, and reports what is
// different. Nothing is graded: the exit code says that the runs were made.
func (s Session) runWhatIf(ctx context.Context, w io.Writer) (code int, err error) {
	variation, err := s.Lab.WhatIf(s.WhatIf)
	if err != nil {
		return verdict.ExitError, err
	}
	all, err := matrix.WhatIf{Host: s.Host, Machine: s.Machine}.Run(ctx, s.Lab, variation, s.Kernels)
	if err != nil {
		return verdict.ExitError, err
	}
	return verdict.ExitPass, report.WriteWhatIf(w, s.Format, all, s.Style)
}
