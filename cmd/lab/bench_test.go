package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/snapshot"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/labs"
)

// The figures of a run, each a median over b.N samples. What is compared is
// measured in turns, so that whatever else the host does weighs on both alike.

// bench is a lab on the default kernel of an architecture.
type bench struct {
	app     *app
	lab     labs.Lab
	target  target
	program string
	initrd  string
	store   *snapshot.Store
	binary  string
}

func eachBench(b *testing.B, run func(b *testing.B, s *bench)) {
	for _, m := range arch.All() {
		b.Run(m.Name, func(b *testing.B) {
			s := &bench{app: &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, cache: &images.Cache{}}}
			k, err := s.app.cache.Find(m.Name, images.DefaultSpec(m.Name))
			if err != nil {
				b.Skip(err)
			}
			if _, err := exec.LookPath(m.QEMU.Binary); err != nil {
				b.Skip(err)
			}
			p := newProgress(io.Discard)
			must := func(err error) {
				if err != nil {
					b.Fatal(err)
				}
			}
			s.target, err = s.app.fileTarget(k.Path, m.Name)
			must(err)
			s.lab, err = getLab("fork-new")
			must(err)
			s.program, s.initrd, err = s.app.guestFiles(b.Context(), s.lab, m, p)
			must(err)
			s.store, err = s.app.snapshots(p)
			must(err)
			s.binary, err = exec.LookPath("lab")
			must(err)
			s.command(b) // makes the snapshot, and the cache warm
			run(b, s)
		})
	}
}

func (s *bench) job() harness.Job {
	a := s.target.arch
	return harness.Job{
		Lab: s.lab.Name, Arch: a, Image: s.target.image, Kernel: s.target.path, Initrd: s.initrd,
		Program: s.program, ProgramName: s.lab.Name, Plan: s.lab.Plan(a.Name), Rules: s.lab.Rules(a.Name),
		Snapshots: s.store,
	}
}

// command runs lab as a person does.
func (s *bench) command(b *testing.B, more ...string) {
	b.Helper()
	cmd := exec.Command(s.binary, append([]string{"run", s.lab.Name, "--arch", s.target.arch.Name}, more...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
}

// run runs a job, which has to pass.
func (s *bench) run(b *testing.B, j harness.Job) *harness.Outcome {
	b.Helper()
	out, err := harness.Run(b.Context(), j)
	if err != nil || out.Result.Verdict != grade.Pass {
		b.Fatalf("%v, %+v", err, out)
	}
	return out
}

// sample times f.
func sample(times *[]float64, f func()) {
	began := time.Now()
	f()
	*times = append(*times, time.Since(began).Seconds())
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkRun compares lab run, warm and cold, with the same done by hand: a
// boot, gdb with the generated script, the same stops.
func BenchmarkRun(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		if _, err := exec.LookPath(debugger); err != nil {
			b.Skip(err)
		}
		dir := b.TempDir()
		socket := filepath.Join(dir, "gdb.sock")
		session, err := writeSession(dir, s.lab, s.target, socket)
		if err != nil {
			b.Fatal(err)
		}
		var warm, cold, hand, boot, drive, trips, stops, memory []float64
		for b.Loop() {
			sample(&warm, func() { s.command(b) })
			sample(&cold, func() { s.command(b, "--cold") })
			sample(&hand, func() { gdbSession(b, s.target, s.initrd, s.lab.Name, session, socket) })
			j := s.job()
			j.Cold = true
			out := s.run(b, j)
			boot, drive = append(boot, out.Boot.Seconds()), append(drive, out.Drive.Seconds())
			out, private := s.measured(b)
			memory = append(memory, private)
			n := 0
			for _, e := range out.Trace.Events {
				if e.Kind == trace.KindStop {
					n++
				}
			}
			trips, stops = append(trips, float64(out.Trips)), append(stops, float64(n))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(warm), "warm-s")
		b.ReportMetric(median(cold), "cold-s")
		b.ReportMetric(median(hand), "by-hand-s")
		b.ReportMetric(median(hand)/median(warm), "by-hand/warm")
		b.ReportMetric(median(cold)/(median(boot)+median(drive)), "cold/(boot+drive)")
		b.ReportMetric(median(trips)/median(stops), "round-trips/stop")
		b.ReportMetric(median(memory), "private-MB")
	})
}

// measured is a warm run and the memory that its QEMU had for itself at the
// last stop.
func (s *bench) measured(b *testing.B) (*harness.Outcome, float64) {
	j := s.job()
	pid, private := 0, 0.0
	j.Began = func(_ trace.Header, m *harness.Machine) { pid = m.VM.PID() }
	j.Event = func(e trace.Event) {
		if e.Kind == trace.KindStop {
			private = privateMB(pid)
		}
	}
	return s.run(b, j), private
}

func privateMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "Private_") {
			kb, _ := strconv.Atoi(f[1])
			sum += kb
		}
	}
	return float64(sum) / 1e3
}

// BenchmarkThroughput is graded runs a minute, as many at a time as there are
// processors.
func BenchmarkThroughput(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		const runs, atOnce = 10, 2
		for b.Loop() {
			var wg sync.WaitGroup
			slots := make(chan struct{}, atOnce)
			for range runs {
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					out, err := harness.Run(b.Context(), s.job())
					if err != nil || out.Result.Verdict != grade.Pass {
						b.Errorf("%v, %+v", err, out)
					}
				})
			}
			wg.Wait()
		}
		b.ReportMetric(60*runs*float64(b.N)/b.Elapsed().Seconds(), "runs/min")
	})
}

// BenchmarkOpenKernel opens a kernel of the cache and its types.
func BenchmarkOpenKernel(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		for b.Loop() {
			im, err := kernel.Open(s.target.path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := im.Field("task_struct", "pid"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkList is lab list from process start to exit.
func BenchmarkList(b *testing.B) {
	lab, err := exec.LookPath("lab")
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		var out bytes.Buffer
		cmd := exec.Command(lab, "list")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			b.Fatalf("%v\n%s", err, &out)
		}
	}
}
