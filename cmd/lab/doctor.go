package main

import (
	"context"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"kernellab/harness/doctor"
	"kernellab/harness/prepare"
	"kernellab/internal/flags"
	"kernellab/internal/foreground"
	"kernellab/internal/usage"
)

func (a *app) doctorCommand() *cobra.Command {
	var format string
	var install bool
	var boots int
	var k prepare.Kernels
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this host has and lacks, and the command that mends each",
		Long: `doctor shows what this host has and lacks, and how often each kernel came up when
it was booted here: a stock kernel may die by itself under emulation.

--boots N boots each kernel of the cache, or those of --kernel, N times, each time
with another seed, and counts those that came up.`,
		Example: "  lab doctor\n  lab doctor --install\n  lab doctor --boots 100 --kernel 6.1 --arch x86_64",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if boots == 0 && len(k.Names) > 0 {
				return usage.Errorf("--kernel says which kernels to boot: add --boots N")
			}
			host := a.host()
			if install || boots > 0 {
				if _, err := a.hold(cmd.Context()); err != nil {
					return err
				}
			}
			if install {
				terminal := foreground.Streams{In: a.stdin, Out: a.stderr, Err: a.stderr}
				if err := doctor.Mend(cmd.Context(), host, terminal.Run); err != nil {
					return err
				}
			}
			if boots > 0 {
				if err := doctor.BootAll(cmd.Context(), host, k, boots); err != nil {
					return err
				}
			}
			a.progress.Done()
			found := doctor.Examine(cmd.Context(), host)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // what was asked when the signal came looks missing
			}
			return a.doctor(found, format)
		},
	}
	a.kernelFlags(cmd, &k, ", to boot (default: all in the cache)")
	cmd.Flags().Var(flags.Number(&boots, 0, 1, math.MaxInt32), "boots", "boot kernels `N` times each and count how many come up")
	cmd.Flags().BoolVar(&install, "install", false, "fetch lab's own QEMU, and install what else is missing with apt-get (with sudo when not root)")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}

// doctor prints what was found. Something that every run needs and that is
// missing makes the exit code 3.
func (a *app) doctor(found []doctor.Finding, format string) error {
	if slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.State == doctor.Missing }) {
		a.code = exitError
	}
	if format == "json" {
		return a.json(map[string]any{"schema": "lab.doctor/1", "findings": found})
	}
	return doctor.Write(a.stdout, found)
}
