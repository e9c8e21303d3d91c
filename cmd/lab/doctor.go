package main

import (
	"io"
	"math"

	"github.com/spf13/cobra"

	"kernellab/harness/doctor"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/internal/foreground"
)

func (a *app) doctorCommand() *cobra.Command {
	var format string
	var v doctor.Visit
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this host has and lacks, and the command that mends each",
		Long: `doctor shows what this host has and lacks, and how often each kernel came up when
it was booted here: a stock kernel may die by itself under emulation.

--boots N boots each kernel of the cache, or those of --kernel, N times, each time
with another seed, and counts those that came up.`,
		Example: "  lab doctor\n  lab doctor --install\n  lab doctor --boots 100 --kernel 6.1 --arch x86_64",
		Args:    commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.Check(); err != nil {
				return err
			}
			if v.Changes() {
				if _, err := a.hold(cmd.Context()); err != nil {
					return err
				}
			}
			terminal := foreground.Streams{In: a.stdin, Out: a.stderr, Err: a.stderr}
			found, err := v.Examine(cmd.Context(), a.host(), terminal.Run)
			if err != nil {
				return err
			}
			a.code = doctor.ExitCode(found)
			return a.write(format, map[string]any{"schema": "lab.doctor/1", "findings": found}, func(w io.Writer) error { return doctor.Write(w, found) })
		},
	}
	a.kernelFlags(cmd, &v.Kernels, ", to boot (default: all in the cache)")
	cmd.Flags().Var(flags.Number(&v.Boots, 0, 1, math.MaxInt32), "boots", "boot kernels `N` times each and count how many come up")
	cmd.Flags().BoolVar(&v.Install, "install", false, "fetch lab's own QEMU, and install what else is missing with apt-get (with sudo when not root)")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}
