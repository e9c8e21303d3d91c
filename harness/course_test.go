package harness_test

import (
	"context"
	"io/fs"
	"slices"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/probe"
	"kernellab/harness/selftest"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/linux"
	"kernellab/labs"
)

func everyLab(t *testing.T) []labs.Lab {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A program that does it wrong is the student's mistake: graded, failed, and told what
// was expected and seen. What the student reads of it, with answers that are wrong as
// well, answers no question. lab test makes the same tests.
func TestWrongPrograms(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for _, l := range everyLab(t) {
			on := selftest.Kernel{Name: k.Release, Arch: a.Name, Release: k.Release,
				Job: func(_ context.Context, l labs.Lab) (harness.Job, error) { return jobOf(t, a, k, l, nil), nil },
				Compile: func(ctx context.Context, l labs.Lab, program fs.FS) (string, error) {
					return compile.Program(ctx, &images.Cache{}, a.GOARCH, l.Name, program, nil)
				},
			}
			test := selftest.Test{Lab: l, Kernels: []selftest.Kernel{on}, AtOnce: 1}
			test.Wrong = func(i int, _ string) bool { return !alternate(l) || arch.Names()[i%2] == a.Name }
			report, err := test.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range report.Tests {
				if line.Kernel == "" {
					continue // which the tests of selftest make
				}
				t.Run(l.Name+"/"+line.Test, func(t *testing.T) {
					for _, p := range line.Problems {
						t.Error(p)
					}
				})
			}
		}
	})
}

// alternate reports whether a lab's wrong programs take turns on the two architectures. A
// mistake is the same on both, but for the labs about the calls that make a task, of which
// riscv64 has fewer. Each lab has a wrong program on each.
func alternate(l labs.Lab) bool { return !slices.Contains([]string{"fork-new", "fork-family"}, l.Name) }

// Every point and read of every lab fits every kernel's symbols and types, which
// is told before a guest starts.
func TestCourseFitsKernels(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		image := openKernel(t, k)
		for _, l := range everyLab(t) {
			for _, err := range probe.Check(image, a, l.Plan(a.Name)) {
				t.Errorf("%s: %v", l.Name, err)
			}
		}
	})
}
