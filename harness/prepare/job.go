package prepare

import (
	"context"
	"fmt"
	"time"

	"kernellab/harness"
	"kernellab/harness/machine"
	"kernellab/harness/qemu"
	"kernellab/labs"
)

// DefaultSeed is the seed of machines when none is asked for.
const DefaultSeed = 1

// MaxCPUs bounds a machine's processors. They take turns on one of the host's: see
// qemu.TurnsRepeat.
const MaxCPUs = 8

// Machine is the machine that a person asked for.
type Machine struct {
	Cold  bool   // boot the kernel instead of starting from a snapshot
	Seed  uint32 // of its random numbers
	CPUs  int
	Limit time.Duration // of the program, by the guest's clock; 0 is the default
}

// Spec describes a machine that runs a target.
func (h Host) Spec(ctx context.Context, t Target, initrd string, m Machine) (machine.Spec, error) {
	s := machine.Spec{Initrd: initrd, Arch: t.Arch, Image: t.Image, Kernel: t.Path, Seed: m.Seed, CPUs: m.CPUs, Cold: m.Cold}
	s.Stage = func(what string) { h.Progress.Say("%s", what) }
	if m.CPUs > 1 {
		if err := qemu.TurnsRepeat(); err != nil {
			h.Cache.Warn(fmt.Sprintf("two runs with --cpus %d can differ here: %v", m.CPUs, err))
		}
	}
	var err error
	if s.QEMU, err = h.Command(ctx, t.Arch); err != nil {
		return s, err
	}
	s.Snapshots, err = h.Snapshots()
	return s, err
}

// Job is the run of a lab's own program on a target.
func (h Host) Job(ctx context.Context, l labs.Lab, t Target, m Machine) (harness.Job, error) {
	j := harness.Job{
		Lab: l.Name, ProgramName: l.Name, Plan: l.Plan(t.Arch.Name), Rules: l.Rules(t.Arch.Name), Limit: m.Limit, Again: true,
		Variant: l.Chosen, VariantArgs: l.OwnArgs(), Script: l.Script,
	}
	if _, err := h.Command(ctx, t.Arch); err != nil {
		return j, err
	}
	g, err := h.GuestFor(ctx, l, t.Arch)
	if err != nil {
		return j, err
	}
	j.Program = g.Programs[l.Name]
	j.Machine, err = h.Spec(ctx, t, g.Initrd, m)
	return j, err
}
