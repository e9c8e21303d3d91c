package harness_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/regress"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/images/linux"
)

// These tests plant regressions in a matrix and check that each is found and
// named, and that none hides the runs beside it.

// planted is one run of a matrix that goes wrong, and what has to be told of it.
type planted struct {
	name    string
	prepare func(ctx context.Context) (harness.Job, error)
	verdict verdict.Verdict
	want    []string // words of the sentence
}

// runPlanted runs the cases in one matrix between two runs that are right, and
// compares with a baseline in which the kernel passed.
func runPlanted(t *testing.T, m harness.Many, a arch.Arch, release string, good func(context.Context) (harness.Job, error), cases []planted) {
	t.Helper()
	rules := lab(t).Rules(a.Name)
	all := append([]planted{{name: "right before", prepare: good, verdict: verdict.Pass, want: []string{"is unchanged"}}}, cases...)
	all = append(all, planted{name: "right after", prepare: good, verdict: verdict.Pass, want: []string{"is unchanged"}})
	var jobs []harness.Pending
	for _, c := range all {
		jobs = append(jobs, harness.Pending{
			Rules: rules, Kernel: release,
			Prepare: func(ctx context.Context, _ func(string)) (harness.Job, error) { return c.prepare(ctx) },
		})
	}
	out, err := m.Run(t.Context(), jobs)
	var base regress.Baseline
	base.Update(regress.Record(out[0].Trace, out[0].Result))
	for i, f := range out {
		c := all[i]
		got := base.Compare(regress.Record(f.Trace, f.Result), f.Result)
		t.Logf("%s: %s", c.name, got.Sentence)
		if f.Result.Verdict != c.verdict {
			t.Errorf("%s: verdict %s, want %s: %v", c.name, f.Result.Verdict, c.verdict, f.Err)
		}
		for _, w := range c.want {
			if !strings.Contains(got.Sentence, w) {
				t.Errorf("%s: %q, want %q in it", c.name, got.Sentence, w)
			}
		}
		if got.Regressed() == (c.verdict == verdict.Pass) {
			t.Errorf("%s: regressed %t: %s", c.name, got.Regressed(), got.Sentence)
		}
		if f.Err != nil && !strings.Contains(err.Error(), firstLine(f.Err.Error())) {
			t.Errorf("%s: the error of all runs does not tell %q", c.name, f.Err)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// TestPlanted needs neither QEMU nor a kernel: traces are made.
func TestPlanted(t *testing.T) {
	a, err := arch.Lookup("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	const release = "6.1.0-50-cloud-amd64"
	rules := lab(t).Rules(a.Name)
	traces := map[string]*trace.Trace{} // by the name of a job's lab
	made := func(name string, change func(*trace.Trace)) func(context.Context) (harness.Job, error) {
		tr := tracetest.Fork(a.Name)
		if change != nil {
			change(tr)
		}
		traces[name] = tr
		return func(context.Context) (harness.Job, error) {
			return harness.Job{Lab: name, Machine: machine.Spec{Arch: a, Image: &kernel.Image{Arch: a.Name, Release: release}}, Rules: rules}, nil
		}
	}
	cut := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(cut, []byte("\x7fELF\x02\x01\x01cut short"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []planted{
		{"two events swapped", made("swapped", func(tr *trace.Trace) { tracetest.Move(tr, "copy_thread", "dup_task_struct") }),
			verdict.Fail, []string{"in the parent, copy_thread now comes before dup_task_struct"}},
		{"a missing point", made("missing", func(tr *trace.Trace) { tracetest.Drop(tr, "copy_thread") }),
			verdict.Fail, []string{"copy_thread is no longer hit"}},
		{"a changed geometry", made("geometry", func(tr *trace.Trace) {
			tr.Header.Sizes = map[string]int{"pt_regs": 168, "stack_top": 184}
		}), verdict.Fail, []string{"the child's stack geometry changed", "184 bytes, was 168"}},
		{"a truncated image", func(context.Context) (harness.Job, error) {
			_, err := kernel.Open(cut)
			return harness.Job{}, err
		}, verdict.Error, []string{"cannot be graded", "vmlinux"}},
	}
	good := made("good", nil)
	m := harness.Many{AtOnce: 2, Do: func(_ context.Context, j harness.Job) (*harness.Outcome, error) {
		tr := traces[j.Lab]
		return &harness.Outcome{Trace: tr, Result: grade.Grade(tr, j.Rules)}, nil
	}}
	runPlanted(t, m, a, release, good, cases)
}

// idle is an init that never says that it is up.
const idle = `package main

import "time"

func main() {
	for {
		time.Sleep(time.Hour)
	}
}
`

// mute is a program in the place of QEMU that says nothing.
func mute(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu-mute")
	text := "#!/bin/sh\ncase $1 in --version) echo QEMU emulator version 10.0.13; exit;; esac\nexec sleep 600\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// TestPlantedLive is TestPlanted with real kernels, and with machines that die.
func TestPlantedLive(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		cache := &images.Cache{}
		init, err := compile.Program(t.Context(), cache, a.GOARCH, "idle", fstest.MapFS{"main.go": {Data: []byte(idle)}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		program, err := os.ReadFile(init)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := func(name string, data []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		hanging, empty := file("idle.cpio", cpio("init", program)), file("empty.cpio", cpio("nothing", nil))
		whole, err := os.ReadFile(k.Path)
		if err != nil {
			t.Fatal(err)
		}
		half := file("half", whole[:len(whole)/2])
		good := job(t, a, k, nil)
		with := func(change func(*machine.Spec)) func(context.Context) (harness.Job, error) {
			return func(context.Context) (harness.Job, error) {
				j := good
				j.Out = ""
				change(&j.Machine)
				return j, nil
			}
		}
		// Of what does not come up nothing is kept, and it is not counted.
		booting := func(initrd string, guard time.Duration) func(context.Context) (harness.Job, error) {
			return with(func(s *machine.Spec) { s.Snapshots, s.Initrd, s.Guard = nil, initrd, guard })
		}
		silent := mute(t)
		runPlanted(t, harness.Many{AtOnce: 4}, a, k.Release, with(func(*machine.Spec) {}), []planted{
			{"a kernel that panics at boot", booting(empty, 0), verdict.Error, []string{"passed and now cannot be graded", "panicked", "Kernel panic - not syncing"}},
			{"a kernel that hangs", booting(hanging, hangs), verdict.Error, []string{"did not come up", "the boot took more than " + hangs.String()}},
			{"a QEMU that hangs", with(func(s *machine.Spec) { s.Snapshots, s.QEMU, s.Guard = nil, silent, hangs }),
				verdict.Error, []string{"passed and now cannot be graded", "the boot took more than " + hangs.String()}},
			{"a truncated image", func(context.Context) (harness.Job, error) {
				_, err := kernel.Open(half)
				return harness.Job{}, err
			}, verdict.Error, []string{"cannot be graded", "half"}},
		})
	})
}

// cpio makes an initramfs with one executable, in the format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
func cpio(name string, data []byte) []byte {
	var b bytes.Buffer
	entry := func(name string, mode int, data []byte) {
		fields := []any{0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0}
		fmt.Fprintf(&b, "070701"+strings.Repeat("%08x", len(fields)), fields...)
		pad := func() {
			for b.Len()%4 != 0 {
				b.WriteByte(0)
			}
		}
		b.WriteString(name + "\x00")
		pad()
		b.Write(data)
		pad()
	}
	entry(name, 0o100755, data)
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}
