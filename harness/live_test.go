package harness_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	"kernellab/harness/machine"
	"kernellab/harness/machine/machinetest"
	"kernellab/harness/report/words"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/guest"
	"kernellab/images/initramfs"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

// These tests run real kernels. They use the kernels in the cache, which make
// test fetches; where LAB_REQUIRE names an architecture they fail without one.

// kernels returns the cached kernels of an architecture, the default first.
func kernels(t *testing.T, a arch.Arch) []linux.Kernel {
	t.Helper()
	labtest.Long(t)
	qemutest.Command(t, a.Name, a.QEMU.Binary)
	cache := &images.Cache{}
	all, err := linux.In(cache).Kernels(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		labtest.Lacking(t, a.Name, "the cache holds no kernel for "+a.Name+": lab kernels fetch brings one")
	}
	standard := linux.DefaultSpec(a.Name)
	slices.SortStableFunc(all, func(x, y linux.Kernel) int {
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
func eachArch(t *testing.T, test func(t *testing.T, a arch.Arch, k linux.Kernel)) {
	for _, a := range arch.All() {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			test(t, a, kernels(t, a)[0])
		})
	}
}

// oneArch runs a subtest on the first architecture's default kernel, of what the host does
// with machines, in which their architecture has no part.
func oneArch(t *testing.T, test func(t *testing.T, a arch.Arch, k linux.Kernel)) {
	a := arch.All()[0]
	t.Run(a.Name, func(t *testing.T) { test(t, a, kernels(t, a)[0]) })
}

// eachKernel runs a subtest for each cached kernel.
func eachKernel(t *testing.T, test func(t *testing.T, a arch.Arch, k linux.Kernel)) {
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

// opened are the kernels that these tests have opened: to unpack one, and to find its
// symbols and types, takes as long as to run a lab on it.
var opened struct {
	sync.Mutex
	images map[string]*kernel.Image
}

func openKernel(t *testing.T, k linux.Kernel) *kernel.Image {
	t.Helper()
	opened.Lock()
	defer opened.Unlock()
	if im := opened.images[k.Path]; im != nil {
		return im
	}
	im, err := kernel.Open(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	if opened.images == nil {
		opened.images = map[string]*kernel.Image{}
	}
	opened.images[k.Path] = im
	return im
}

// seed is that of these tests' machines where no other is asked for, and lab's.
const seed = 1

// job prepares a run of fork-new with a program, nil for the lab's own. The machine
// starts from the snapshot that lab itself starts it from.
func job(t *testing.T, a arch.Arch, k linux.Kernel, program fs.FS) harness.Job {
	t.Helper()
	return jobOf(t, a, k, lab(t), program)
}

func jobOf(t *testing.T, a arch.Arch, k linux.Kernel, l labs.Lab, program fs.FS) harness.Job {
	t.Helper()
	cache := &images.Cache{}
	if program == nil {
		program = l.Program()
	}
	binary, err := compile.Program(t.Context(), cache, a.GOARCH, l.Name, program, nil)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := initramfs.Base(t.Context(), cache, a.GOARCH, nil)
	if err != nil {
		t.Fatal(err)
	}
	return harness.Job{
		Lab: l.Name, Program: binary, ProgramName: l.Name, Plan: l.Plan(a.Name), Rules: l.Rules(a.Name), Out: outDir(t), Script: l.Script,
		Machine: machine.Spec{
			Arch: a, Image: openKernel(t, k), Kernel: k.Path, Initrd: initrd,
			QEMU: qemutest.Command(t, a.Name, a.QEMU.Binary), Seed: seed, Snapshots: sharedStore(t),
		},
	}
}

// sharedStore is the store of the cache, so that a kernel boots once and not for
// each test.
func sharedStore(t *testing.T) *snapshot.Store {
	t.Helper()
	dir, err := (&images.Cache{}).Path("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Store{Dir: dir, Warn: func(text string) { t.Log(text) }}
}

// run runs a job that must come to its end.
func run(t *testing.T, j harness.Job) *harness.Outcome {
	t.Helper()
	out, err := harness.Run(t.Context(), j)
	if err != nil {
		t.Fatalf("run: %v\n%s", err, strings.Join(machine.Console(err), "\n"))
	}
	return out
}

// pass runs a job that must pass.
func pass(t *testing.T, j harness.Job) *harness.Outcome {
	t.Helper()
	out := run(t, j)
	if out.Result.Verdict != verdict.Pass {
		t.Errorf("verdict %s, findings %+v", out.Result.Verdict, out.Result.Findings)
	}
	return out
}

// The lab passes on every kernel, and lab check's verdict over the recorded trace is
// the run's.
func TestForkNewPasses(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		out := ownRun(t, a, k, lab(t))
		t.Logf("%+v, with %d exchanges", out.Times, out.Trips)
		var points []string
		for _, s := range out.Result.Steps {
			points = append(points, s.Point)
		}
		want := []string{"sys_clone", "kernel_clone", "copy_process", "dup_task_struct", "copy_thread", "pid_vnr", "wake_up_new_task", "clone_returns", "ret_from_fork"}
		if diff := cmp.Diff(want, points); diff != "" {
			t.Errorf("steps -want +got:\n%s", diff)
		}
		recorded, err := trace.Read(bytes.NewReader(encode(t, out.Trace))) // TestSameWrong has its file
		if err != nil {
			t.Fatal(err)
		}
		again := words.Result(grade.Grade(recorded, lab(t).Rules(a.Name)))
		if diff := cmp.Diff(out.Result, again, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(verdict.Result{}, "Notes")); diff != "" {
			t.Errorf("the verdict over the recorded trace differs -run +check:\n%s", diff)
		}
	})
}

// Every symbol recovered from the image is in the running kernel's own
// /proc/kallsyms, by the same name at the same address, and the other way round.
func TestSymbolsAgreeWithGuest(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		m, err := j.Machine.Start(t.Context(), io.Discard)
		if err != nil {
			t.Fatalf("start: %v\n%s", err, strings.Join(machine.Console(err), "\n"))
		}
		defer m.Close()
		text, err := m.Agent.ReadFile(t.Context(), "/proc/kallsyms")
		if err != nil {
			t.Fatal(err)
		}
		matched, diffs, err := compareKallsyms(j.Machine.Image.Symbols.All(), text)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d symbols agree", matched)
		if len(diffs) > 0 {
			t.Errorf("%d symbols differ, the first: %s", len(diffs), strings.Join(diffs[:min(10, len(diffs))], "; "))
		}
		if matched < 50_000 || matched != j.Machine.Image.Symbols.Len() {
			t.Errorf("%d of %d recovered symbols agree", matched, j.Machine.Image.Symbols.Len())
		}
	})
}

// What is not the student's fault is an error of the right type that says what
// happened, and never a verdict. TestBroughtDown has what happens to a machine from outside.
func TestFailuresAreNotTheStudents(t *testing.T) {
	// Whatever goes wrong is the kernel's fault or the harness's.
	const guests, ours = true, false
	tests := []struct {
		name  string
		spoil func(t *testing.T, j *harness.Job)
		fault bool
		want  []string // in the error
	}{
		{"a kernel that panics", func(t *testing.T, j *harness.Job) {
			j.Machine.Initrd = filepath.Join(t.TempDir(), "junk")
			if err := os.WriteFile(j.Machine.Initrd, bytes.Repeat([]byte("junk"), 4096), 0o600); err != nil {
				t.Fatal(err)
			}
		}, guests, []string{"panicked", "Kernel panic"}},
		{"a truncated kernel", func(t *testing.T, j *harness.Job) {
			data, err := os.ReadFile(j.Machine.Kernel)
			if err != nil {
				t.Fatal(err)
			}
			j.Machine.Kernel = filepath.Join(t.TempDir(), "vmlinuz")
			if err := os.WriteFile(j.Machine.Kernel, data[:len(data)/2], 0o600); err != nil {
				t.Fatal(err)
			}
			j.Machine.Guard = hangs // it may just hang
		}, guests, []string{"the kernel"}},
		{"QEMU missing", func(_ *testing.T, j *harness.Job) { j.Machine.QEMU = []string{"qemu-system-nowhere"} }, ours, []string{"not installed"}},
		{"QEMU that is none", func(_ *testing.T, j *harness.Job) { j.Machine.QEMU = []string{"false"} }, ours, []string{"false"}},
		{"a point that does not resolve", func(_ *testing.T, j *harness.Job) {
			j.Plan.Points = slices.Clone(j.Plan.Points)
			j.Plan.Points[1].Place = "kernel_klone"
		}, ours, []string{"kernel_clone"}},
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				j := job(t, a, k, nil)
				j.Machine.Snapshots = ownStore(t)
				j.Retry = func(err error) { t.Errorf("tried again because of %v", err) }
				tt.spoil(t, &j)
				out, err := harness.Run(t.Context(), j)
				if err == nil {
					t.Fatalf("no error, verdict %s", out.Result.Verdict)
				}
				t.Logf("%v", err)
				var guest *machine.GuestError
				var mine *machine.Error
				if tt.fault == guests && !errors.As(err, &guest) || tt.fault == ours && !errors.As(err, &mine) {
					t.Errorf("error is a %T, the kernel's fault is %t", err, tt.fault == guests)
				}
				for _, w := range tt.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("error does not say %q", w)
					}
				}
			})
		}
	})
}

// hangs is how long a machine may take that can not get anywhere.
const hangs = 500 * time.Millisecond

// signal sends a signal to a machine's QEMU.
func signal(t *testing.T, m *machine.Machine, sig syscall.Signal) {
	if err := syscall.Kill(m.VM.PID(), sig); err != nil {
		t.Errorf("send %s to QEMU: %v", sig, err)
	}
}

// at has do called at the job's stops at a point, with the number of the try.
func at(j *harness.Job, point string, do func(m *machine.Machine, try int)) {
	var m *machine.Machine
	try := 0
	j.Began = func(_ trace.Header, began *machine.Machine) { m = began; try++ }
	j.Event = func(e trace.Event) {
		if e.Point == point {
			do(m, try)
		}
	}
}

// Cancelling at any moment ends the run and leaves no QEMU.
func TestCancelLeavesNothing(t *testing.T) {
	moments := map[string]func(j *harness.Job, stop func(*machine.Machine)){
		"as the program begins": func(j *harness.Job, stop func(*machine.Machine)) {
			j.Began = func(_ trace.Header, m *machine.Machine) { stop(m) }
		},
		"at a stop": func(j *harness.Job, stop func(*machine.Machine)) {
			at(j, "copy_thread", func(m *machine.Machine, _ int) { stop(m) })
		},
	}
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for name, arrange := range moments {
			t.Run(name, func(t *testing.T) {
				j := job(t, a, k, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				pid := 0
				arrange(&j, func(m *machine.Machine) { pid = m.VM.PID(); cancel() })
				if _, err := harness.Run(ctx, j); !errors.Is(err, context.Canceled) {
					t.Errorf("run = %v, want context.Canceled", err)
				}
				if err := syscall.Kill(-pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("QEMU %d is still there after Run returned: %v", pid, err)
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
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) { // a step is QEMU's on both
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
		run(t, j)
		if seen != calls {
			t.Errorf("%d calls seen, want %d", seen, calls)
		}
	})
}

// A machine that something from outside ends is tried again: the mark and the trace
// are the second run's, which are those of any run, and the result says so.
func TestSecondTry(t *testing.T) {
	t.Parallel()
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		want := pass(t, j)
		j.Machine.Snapshots = machinetest.Copied(t, j.Machine) // which loses what the machine came from
		j.Again = true
		tries := 0
		at(&j, "copy_process", func(m *machine.Machine, try int) {
			tries = max(tries, try)
			if try == 1 {
				signal(t, m, syscall.SIGKILL)
			}
		})
		var first error
		j.Retry = func(err error) { first = err }
		out := pass(t, j)
		if tries != 2 || first == nil {
			t.Errorf("%d tries, the first one's error %v, want two and QEMU's end", tries, first)
		}
		if notes := strings.Join(out.Result.Notes, "\n"); !strings.Contains(notes, "The first try was thrown away") || !strings.Contains(notes, "signal: killed") {
			t.Errorf("notes %q, want the first try in them", notes)
		}
		if diff := difference(want.Trace, out.Trace); diff != "" {
			t.Errorf("the trace of the second try differs: %s", diff)
		}
	})
}

// The machine that a run leaves a script of can be had by hand: a shell that answers.
func TestByHand(t *testing.T) {
	t.Parallel()
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		j := job(t, a, k, nil)
		pass(t, j)
		ctx, cancel := context.WithTimeout(t.Context(), machine.DefaultGuard)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(j.Out, harness.ReplayFile))
		cmd.Dir = t.TempDir() // where the gdbstub's socket is made
		keys, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		screen, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cancel()
		var seen []byte
		until := func(want string) {
			t.Helper()
			for b := make([]byte, 1); !bytes.HasSuffix(seen, []byte(want)); {
				if _, err := screen.Read(b); err != nil {
					t.Fatalf("no %q on the console: %v\n%s", want, err, seen)
				}
				seen = append(seen, b[0])
			}
		}
		until("$ ")
		io.WriteString(keys, "cat /proc/cmdline\n")
		until(guest.ShellMode)
		until("$ ")
		io.WriteString(keys, "\x01x") // leaves
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, seen)
		}
	})
}
