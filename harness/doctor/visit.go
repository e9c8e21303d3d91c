package doctor

import (
	"context"
	"slices"

	"kernellab/harness/prepare"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
)

// Visit says what doctor does before it examines the host.
type Visit struct {
	Install bool            // install what is missing, see Mend
	Boots   int             // boot the kernels so many times, see BootAll
	Kernels prepare.Kernels // to boot
}

// Check returns a mistake of usage if the visit names kernels for nothing.
func (v Visit) Check() error {
	if v.Boots == 0 && len(v.Kernels.Names) > 0 {
		return usage.Errorf("--kernel says which kernels to boot: add --boots N")
	}
	return nil
}

// Changes reports whether the visit changes the cache.
func (v Visit) Changes() bool { return v.Install || v.Boots > 0 }

// Examine does what the visit says, and then examines the host. run runs a command on the
// terminal.
func (v Visit) Examine(ctx context.Context, h prepare.Host, run func(ctx context.Context, args []string) error) ([]Finding, error) {
	if v.Install {
		if err := Mend(ctx, h, run); err != nil {
			return nil, err
		}
	}
	if v.Boots > 0 {
		if err := BootAll(ctx, h, v.Kernels, v.Boots); err != nil {
			return nil, err
		}
	}
	h.Progress.Done()
	found := Examine(ctx, h)
	return found, context.Cause(ctx) // what was asked when the signal came looks missing
}

// ExitCode returns the exit code for findings: an error if something that every run needs
// is missing.
func ExitCode(found []Finding) int {
	if slices.ContainsFunc(found, func(f Finding) bool { return f.State == Missing }) {
		return verdict.ExitError
	}
	return verdict.ExitPass
}
