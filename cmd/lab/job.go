package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"kernellab/harness"
	"kernellab/harness/machine"
	"kernellab/labs"
)

// machineFlags are the flags of commands that run guests.
type machineFlags struct {
	cold  bool
	seed  uint32
	cpus  int
	limit time.Duration // of the program, by the guest's clock
}

// defaultSeed is the seed of machines that nobody asks for another of.
const defaultSeed = 1

// add adds them to a command.
func (f *machineFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.cold, "cold", false, "boot the kernel instead of starting from a snapshot")
	fl.Uint32Var(&f.seed, "seed", defaultSeed, "seed of the machine's random numbers: another one is another machine, as repeatable as this")
	fl.IntVar(&f.cpus, "cpus", 1, "processors of the machine; with more than one a run does not repeat to the instruction")
	fl.DurationVar(&f.limit, "timeout", 0, "what the program may take of the guest's time (default 10s)")
}

// maxCPUs bounds --cpus. A machine's processors take turns on one of the host's, and
// when it is whose turn depends on more than the guest: QEMU kicks the next one for
// reasons of its own (rr_kick_next_cpu in accel/tcg/tcg-accel-ops-rr.c), so that two
// runs differ in times and registers.
const maxCPUs = 8

// check refuses values that make no sense.
func (f machineFlags) check(cmd *cobra.Command) error {
	switch {
	case f.limit < 0 || f.limit == 0 && cmd.Flags().Changed("timeout"):
		return usagef("--timeout %s: want a time over 0, such as 20s", f.limit)
	case f.cpus < 1 || f.cpus > maxCPUs:
		return usagef("--cpus %d: want 1 to %d", f.cpus, maxCPUs)
	}
	return nil
}

// spec describes the machine of a target.
func (a *app) spec(ctx context.Context, t target, initrd string, f machineFlags, p *progress) (machine.Spec, error) {
	s := machine.Spec{Initrd: initrd, Arch: t.arch, Image: t.image, Kernel: t.path, Seed: f.seed, CPUs: f.cpus, Cold: f.cold}
	s.Stage = func(what string) { p.Say("%s", what) }
	e, err := a.emulator(ctx, p.Report)
	if err != nil {
		return s, err
	}
	s.QEMU = e.command(t.arch)
	s.Snapshots, err = a.snapshots(p)
	return s, err
}

// job is the run of a lab's own program on a target.
func (a *app) job(ctx context.Context, l labs.Lab, t target, f machineFlags, p *progress) (harness.Job, error) {
	j := harness.Job{
		Lab: l.Name, ProgramName: l.Name, Plan: l.Plan(t.arch.Name), Rules: l.Rules(t.arch.Name), Limit: f.limit, Again: true,
	}
	program, initrd, err := a.guestFiles(ctx, l, t.arch, p)
	if err != nil {
		return j, err
	}
	j.Program = program
	j.Machine, err = a.spec(ctx, t, initrd, f, p)
	return j, err
}
