package harness_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/qemu"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/images/qemutest"
	"kernellab/labs"
	"kernellab/labtest"
)

// These tests run real kernels. They use the kernels in the cache, which make
// test fetches; where LAB_REQUIRE names an architecture they fail without one.

// kernels returns the cached kernels of an architecture, the default first.
func kernels(t *testing.T, a arch.Arch) []images.Kernel {
	t.Helper()
	labtest.Long(t)
	qemutest.Command(t, a.Name, a.QEMU.Binary)
	cache := &images.Cache{}
	all, err := cache.Kernels(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		labtest.Lacking(t, a.Name, "the cache holds no kernel for "+a.Name+": lab kernels fetch brings one")
	}
	standard := images.DefaultSpec(a.Name)
	slices.SortStableFunc(all, func(x, y images.Kernel) int {
		switch {
		case x.Series == y.Series:
			return 0
		case x.Series == standard:
			return -1
		case y.Series == standard:
			return 1
		}
		return 0
	})
	return all
}

// eachArch runs a subtest for each architecture on its default kernel.
func eachArch(t *testing.T, test func(t *testing.T, a arch.Arch, k images.Kernel)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			test(t, a, kernels(t, a)[0])
		})
	}
}

// eachKernel runs a subtest for each cached kernel.
func eachKernel(t *testing.T, test func(t *testing.T, a arch.Arch, k images.Kernel)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			for _, k := range kernels(t, a) {
				t.Run(k.Release, func(t *testing.T) {
					t.Parallel()
					test(t, a, k)
				})
			}
		})
	}
}

// outDir is a folder that stays when the test fails.
func outDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
			return
		}
		replay, _ := os.ReadFile(filepath.Join(dir, harness.ReplayFile))
		t.Logf("the run's files are kept in %s; by hand:\n%s", dir, replay)
	})
	return dir
}

func lab(t *testing.T) labs.Lab {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openKernel(t *testing.T, k images.Kernel) *kernel.Image {
	t.Helper()
	im, err := kernel.Open(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// job prepares a run of a lab with a program of its own, nil for the lab's, which
// the guest has in any case.
func job(t *testing.T, a arch.Arch, k images.Kernel, program fs.FS) harness.Job {
	t.Helper()
	l, cache := lab(t), &images.Cache{}
	build := func(program fs.FS) string {
		binary, err := cache.BuildProgram(t.Context(), a.GOARCH, l.Name, program, nil)
		if err != nil {
			t.Fatal(err)
		}
		return binary
	}
	binary := build(l.Program())
	initrd, err := cache.Initramfs(t.Context(), a.GOARCH, map[string]string{l.Name: binary}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if program != nil {
		binary = build(program)
	}
	return harness.Job{
		Lab: l.Name, Arch: a, Image: openKernel(t, k), Kernel: k.Path, Initrd: initrd,
		Program: binary, ProgramName: l.Name, Plan: l.Plan(a.Name), Rules: l.Rules(a.Name), Out: outDir(t),
		Bring: program != nil, QEMU: qemutest.Command(t, a.Name, a.QEMU.Binary),
	}
}

// The lab passes on every kernel, with a program that is brought to the guest, and
// lab check's verdict over the recorded trace is the run's.
func TestForkNewPasses(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, lab(t).Program())
		out, err := harness.Run(t.Context(), j)
		if err != nil {
			t.Fatalf("run: %v\n%s", err, strings.Join(harness.Console(err), "\n"))
		}
		t.Logf("booted in %.1f s, driven in %.1f s with %d exchanges", out.Boot.Seconds(), out.Drive.Seconds(), out.Trips)
		if out.Result.Verdict != grade.Pass {
			t.Errorf("verdict %s, findings %+v", out.Result.Verdict, out.Result.Findings)
		}
		var points []string
		for _, s := range out.Result.Steps {
			points = append(points, s.Point)
		}
		want := []string{"sys_clone", "kernel_clone", "copy_process", "dup_task_struct", "copy_thread", "wake_up_new_task", "ret_from_fork"}
		if diff := cmp.Diff(want, points); diff != "" {
			t.Errorf("steps -want +got:\n%s", diff)
		}
		f, err := os.Open(filepath.Join(j.Out, harness.TraceFile))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		recorded, err := trace.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		again := grade.Grade(recorded, j.Rules)
		if diff := cmp.Diff(out.Result, again, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(grade.Result{}, "Notes")); diff != "" {
			t.Errorf("the verdict over the recorded trace differs -run +check:\n%s", diff)
		}
	})
}

// Every symbol recovered from the image is in the running kernel's own
// /proc/kallsyms, by the same name at the same address, and the other way round.
func TestSymbolsAgreeWithGuest(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, nil)
		m := boot(t, j)
		text, err := m.Agent.ReadFile(t.Context(), "/proc/kallsyms")
		if err != nil {
			t.Fatal(err)
		}
		matched, diffs, err := j.Image.Symbols.CompareKallsyms(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d symbols agree", matched)
		if len(diffs) > 0 {
			t.Errorf("%d symbols differ, the first: %s", len(diffs), strings.Join(diffs[:min(10, len(diffs))], "; "))
		}
		if matched < 50_000 || matched != j.Image.Symbols.Len() {
			t.Errorf("%d of %d recovered symbols agree", matched, j.Image.Symbols.Len())
		}
	})
}

// boot starts the machine of a job.
func boot(t *testing.T, j harness.Job) *harness.Machine {
	t.Helper()
	m, err := harness.Boot(t.Context(), qemu.Config{Arch: j.Arch, Kernel: j.Kernel, Initrd: j.Initrd, Command: j.QEMU}, j.Image.Release, 0, nil)
	if err != nil {
		t.Fatalf("boot: %v\n%s", err, strings.Join(harness.Console(err), "\n"))
	}
	t.Cleanup(m.Close)
	return m
}

// What is not the student's fault is an error of the right type that says what
// happened, and never a verdict.
func TestFailuresAreNotTheStudents(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, j *harness.Job)
		guest bool   // the kernel's fault, not the harness's
		want  string // in the error
	}{
		{"a kernel that panics", func(t *testing.T, j *harness.Job) {
			j.Initrd = filepath.Join(t.TempDir(), "junk")
			if err := os.WriteFile(j.Initrd, bytes.Repeat([]byte("junk"), 4096), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true, "Kernel panic"},
		{"a truncated kernel", func(t *testing.T, j *harness.Job) {
			data, err := os.ReadFile(j.Kernel)
			if err != nil {
				t.Fatal(err)
			}
			j.Kernel = filepath.Join(t.TempDir(), "vmlinuz")
			if err := os.WriteFile(j.Kernel, data[:len(data)/2], 0o600); err != nil {
				t.Fatal(err)
			}
			j.BootTimeout = 15 * time.Second // it may just hang
		}, true, "the kernel"},
		{"a guest that hangs", func(_ *testing.T, j *harness.Job) {
			j.Timeout = 2 * time.Second
			j.Began = func(_ trace.Header, m *harness.Machine) { syscall.Kill(m.VM.PID(), syscall.SIGSTOP) }
		}, true, "hung"},
		{"QEMU killed in mid-run", func(_ *testing.T, j *harness.Job) {
			var vm *qemu.VM
			j.Began = func(_ trace.Header, m *harness.Machine) { vm = m.VM }
			j.Event = func(e trace.Event) {
				if e.Point == "copy_process" {
					syscall.Kill(vm.PID(), syscall.SIGKILL)
				}
			}
		}, false, "signal: killed"},
		{"QEMU missing", func(_ *testing.T, j *harness.Job) { j.QEMU = []string{"qemu-system-nowhere"} }, false, "not installed"},
		{"QEMU that is none", func(_ *testing.T, j *harness.Job) { j.QEMU = []string{"false"} }, false, "false"},
		{"a point that does not resolve", func(_ *testing.T, j *harness.Job) {
			j.Plan.Points = slices.Clone(j.Plan.Points)
			j.Plan.Points[1].Place = "kernel_klone"
		}, false, "kernel_clone"},
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				j := job(t, a, k, nil)
				tt.spoil(t, &j)
				out, err := harness.Run(t.Context(), j)
				if err == nil {
					t.Fatalf("no error, verdict %s", out.Result.Verdict)
				}
				t.Logf("%v", err)
				var guest *harness.GuestError
				var ours *harness.Error
				if tt.guest && !errors.As(err, &guest) || !tt.guest && !errors.As(err, &ours) {
					t.Errorf("error is a %T, the kernel's fault is %t", err, tt.guest)
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error does not say %q", tt.want)
				}
			})
		}
	})
}

// Cancelling at any moment ends the run and leaves no QEMU.
func TestCancelLeavesNothing(t *testing.T) {
	moments := map[string]func(j *harness.Job, stop func(*qemu.VM)){
		"as the program begins": func(j *harness.Job, stop func(*qemu.VM)) {
			j.Began = func(_ trace.Header, m *harness.Machine) { stop(m.VM) }
		},
		"at a stop": func(j *harness.Job, stop func(*qemu.VM)) {
			var vm *qemu.VM
			j.Began = func(_ trace.Header, m *harness.Machine) { vm = m.VM }
			j.Event = func(e trace.Event) {
				if e.Point == "copy_thread" {
					stop(vm)
				}
			}
		},
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		for name, arrange := range moments {
			t.Run(name, func(t *testing.T) {
				j := job(t, a, k, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var vm *qemu.VM
				arrange(&j, func(v *qemu.VM) { vm = v; cancel() })
				if _, err := harness.Run(ctx, j); !errors.Is(err, context.Canceled) {
					t.Errorf("run = %v, want context.Canceled", err)
				}
				if err := syscall.Kill(-vm.PID(), 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("QEMU %d is still there after Run returned: %v", vm.PID(), err)
				}
			})
		}
	})
}

// Calls that agree in every register are told apart, also where a breakpoint has to
// be left by a step: of a system call's arguments none is in a register.
func TestEqualCalls(t *testing.T) {
	const calls, program = 8, `package main

import "syscall"

func main() {
	for range 8 {
		syscall.RawSyscall6(syscall.SYS_CLONE, syscall.CLONE_THREAD, 0, 0, 0, 0, 0) // EINVAL
	}
}
`
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		a.Nops, a.AddPC = nil, arch.AddPC{}
		a.QEMU.Append += " randomize_kstack_offset=off"
		j := job(t, a, k, fstest.MapFS{"main.go": {Data: []byte(program)}})
		seen := 0
		j.Event = func(e trace.Event) {
			for _, arg := range e.Args {
				if e.Point == "sys_clone" && arg.Name == "clone_flags" && arg.Value == syscall.CLONE_THREAD {
					seen++
				}
			}
		}
		if _, err := harness.Run(t.Context(), j); err != nil {
			t.Fatalf("run: %v\n%s", err, strings.Join(harness.Console(err), "\n"))
		}
		if seen != calls {
			t.Errorf("%d calls seen, want %d", seen, calls)
		}
	})
}

// A machine that fails once is tried again: the mark is the second run's, and the
// result says so.
func TestSecondTry(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		j := job(t, a, k, nil)
		j.Snapshots, j.Keep = store(t), true
		var vm *qemu.VM
		tries := 0
		j.Began = func(_ trace.Header, m *harness.Machine) { vm = m.VM; tries++ }
		j.Event = func(e trace.Event) {
			if e.Point == "copy_process" && tries == 1 {
				syscall.Kill(vm.PID(), syscall.SIGKILL)
			}
		}
		var again error
		j.Again = func(err error) { again = err }
		out := pass(t, j)
		if tries != 2 || again == nil {
			t.Errorf("%d tries, the first one's error %v, want two and QEMU's end", tries, again)
		}
		if notes := strings.Join(out.Result.Notes, "\n"); !strings.Contains(notes, "The first try was thrown away") || !strings.Contains(notes, "signal: killed") {
			t.Errorf("notes %q, want the first try in them", notes)
		}
	})
}
