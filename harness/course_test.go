package harness_test

import (
	"context"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/probe"
	"kernellab/harness/selftest"
	"kernellab/harness/verdict"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/linux"
	"kernellab/labs"
)

// Each lab's own program runs once on each kernel, and the tests share that run: see
// ownRun. Whatever else is tested of every lab takes turns on the kernels: see turn.

func everyLab(t *testing.T) []labs.Lab {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ownRuns are the runs that ownRun has made, by lab and kernel.
var ownRuns sync.Map

type sharedRun struct {
	once sync.Once
	out  *harness.Outcome
}

// ownRun returns a run of a lab's own program on a kernel, which passed. The first test
// that asks for it makes it. Nobody may change it.
func ownRun(t *testing.T, a arch.Arch, k linux.Kernel, l labs.Lab) *harness.Outcome {
	t.Helper()
	v, _ := ownRuns.LoadOrStore(l.Name+" on "+k.Path, new(sharedRun))
	r := v.(*sharedRun)
	r.once.Do(func() {
		j := jobOf(t, a, k, l, nil)
		j.Out = ""
		r.out = pass(t, j)
	})
	if r.out == nil || r.out.Result.Verdict != verdict.Pass {
		t.Fatalf("%s: the lab's own program does not pass on %s", l.Name, k.Release)
	}
	return r.out
}

// The ways to run a lab that take turns. The wrong programs of a lab have the numbers
// from wayWrong.
const (
	wayFirstStop = iota
	waySeed
	wayCPUs
	wayTask
	wayWrong
)

// turn reports whether a way to run a lab, both by number, is tried on a kernel. The
// architectures take turns, and so do the kernels of each: every lab is run in every way,
// and every kernel gets every way with some of the labs. So a new lab costs one run a
// kernel and one a way, and not one a kernel and way.
//
// The machine of some ways is another one, for which a kernel boots. Fewer kernels take
// turns in these: the default ones with another seed, and with two processors the newest
// and the oldest of the others.
func turn(t *testing.T, a arch.Arch, k linux.Kernel, lab, way int) bool {
	t.Helper()
	names := arch.Names()
	n := lab + way
	if names[n%len(names)] != a.Name {
		return false
	}
	n /= len(names)
	number, of := numbered(t, a, k)
	switch way {
	case waySeed:
		return number == 0
	case wayCPUs:
		numbers := slices.Compact([]int{min(1, of-1), of - 1})
		return numbers[n%len(numbers)] == number
	}
	return n%of == number
}

// turnOn is turn for what is tried on both architectures.
func turnOn(t *testing.T, a arch.Arch, k linux.Kernel, n int) bool {
	t.Helper()
	number, of := numbered(t, a, k)
	return n%of == number
}

// numbered returns the number of a kernel among the cached ones of its architecture, and
// how many these are. The default kernel has number 0.
func numbered(t *testing.T, a arch.Arch, k linux.Kernel) (n, of int) {
	t.Helper()
	all := kernels(t, a)
	return slices.IndexFunc(all, func(other linux.Kernel) bool { return other.Path == k.Path }), len(all)
}

// A program that does it wrong is the student's mistake: graded, failed, and told what
// was expected and seen. What the student reads of it, with answers that are wrong as
// well, answers no question, and neither does what is read of the lab's own program, on
// any kernel. lab test makes the same tests.
func TestWrongPrograms(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for n, l := range everyLab(t) {
			own, job := ownRun(t, a, k, l), jobOf(t, a, k, l, nil)
			on := selftest.Kernel{Name: k.Release, Arch: a.Name, Release: k.Release,
				Job: func(_ context.Context, l labs.Lab) (harness.Job, error) { return jobOf(t, a, k, l, nil), nil },
				Compile: func(ctx context.Context, l labs.Lab, program fs.FS) (string, error) {
					return compile.Program(ctx, &images.Cache{}, a.GOARCH, l.Name, program, nil)
				},
			}
			test := selftest.Test{Lab: l, Kernels: []selftest.Kernel{on}, AtOnce: 1}
			test.Wrong = func(i int, _ string) bool {
				if slices.Contains(byArch, l.Name) {
					return turnOn(t, a, k, n+i)
				}
				return turn(t, a, k, n, wayWrong+i)
			}
			test.Do = func(ctx context.Context, j harness.Job) (*harness.Outcome, error) {
				if j.Program == job.Program && j.Script == job.Script {
					return own, nil
				}
				return harness.Run(ctx, j)
			}
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

// byArch are the labs whose wrong programs run on both architectures: those about the
// calls that make a task, of which riscv64 has fewer. Other mistakes are the same on both.
var byArch = []string{"fork-new", "fork-family"}

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
