package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/usage"
)

// machineFlags are the flags of commands that run guests.
type machineFlags struct{ prepare.Machine }

// add adds them to a command.
func (f *machineFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.Cold, "cold", false, "boot the kernel instead of starting from a snapshot")
	fl.Uint32Var(&f.Seed, "seed", prepare.DefaultSeed, "seed of the machine's random numbers: another one is another machine, as repeatable as this")
	fl.IntVar(&f.CPUs, "cpus", 1, "processors of the machine; with more than one, two runs can differ")
	fl.DurationVar(&f.Limit, "timeout", 0, "what the program may take of the guest's time (default 10s)")
}

// check rejects values out of range.
func (f machineFlags) check(cmd *cobra.Command) error {
	switch {
	case f.Limit < 0 || f.Limit == 0 && cmd.Flags().Changed("timeout"):
		return usage.Errorf("--timeout %s: want a time over 0, such as 20s", f.Limit)
	case f.CPUs < 1 || f.CPUs > prepare.MaxCPUs:
		return usage.Errorf("--cpus %d: want 1 to %d", f.CPUs, prepare.MaxCPUs)
	}
	return nil
}

// vmlinuxFlag adds --vmlinux.
func vmlinuxFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "vmlinux", "", "the kernel's vmlinux with debug information, for source lines and variables (default the cache's: lab kernels fetch --debug)")
}
