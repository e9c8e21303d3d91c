package main

import (
	"math"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/flags"
)

// machineFlags adds the flags of commands that run guests.
func machineFlags(cmd *cobra.Command, f *prepare.Machine) {
	fl := cmd.Flags()
	fl.BoolVar(&f.Cold, "cold", false, "boot the kernel instead of starting from a snapshot")
	fl.Var(flags.Number(&f.Seed, prepare.DefaultSeed, 0, math.MaxUint32), "seed", "seed of the machine's random numbers: another one is another machine, as repeatable as this")
	fl.Var(flags.Number(&f.CPUs, 1, 1, prepare.MaxCPUs), "cpus", "processors of the machine; with more than one, two runs can differ")
	fl.Var(flags.Duration(&f.Limit), "timeout", "what the program may take of the guest's time (default 10s)")
}

// vmlinuxFlag adds --vmlinux.
func vmlinuxFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().Var(flags.Text(value, "", flags.InFile), "vmlinux", "the kernel's vmlinux with debug information, for source lines and variables (default the cache's: lab kernels fetch --debug)")
}
