package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/gdb"
	"kernellab/harness/kernel"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/labs"
)

// The figures of a run, each a median over b.N samples and beside its goal. What is compared is
// measured in turns, so that whatever else the host does weighs on both alike.

// bench is a lab on the default kernel of an architecture.
type bench struct {
	app    *app
	lab    labs.Lab
	target prepare.Target
	job    harness.Job // of the lab's own program, from its first stop
	binary string
	digest string // of the kernel's image
}

func eachBench(b *testing.B, run func(b *testing.B, s *bench)) {
	for _, m := range arch.All() {
		benchOn(b, m, run)
	}
}

func benchOn(b *testing.B, m arch.Arch, run func(b *testing.B, s *bench)) {
	b.Run(m.Name, func(b *testing.B) {
		s := &bench{app: newApp(strings.NewReader(""), io.Discard, io.Discard)}
		k, err := linux.In(s.app.cache).Find(m.Name, linux.DefaultSpec(m.Name))
		if err != nil {
			b.Skip(err)
		}
		qemutest.Command(b, m.Name, m.QEMU.Binary)
		must := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		s.digest = k.SHA256
		s.target, err = openFile(b, s.app, k.Path, m.Name)
		must(err)
		s.lab, err = prepare.Lab("fork-new")
		must(err)
		s.job, err = s.app.host().Job(b.Context(), s.lab, s.target, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1})
		must(err)
		s.binary = builtLab(b)
		s.command(b) // makes the snapshots, and the cache warm
		run(b, s)
	})
}

// builtLab is what make builds. The lab of the tests is the test's own executable,
// which takes longer to start.
func builtLab(b *testing.B) string {
	b.Helper()
	path, err := filepath.Abs("../../bin/lab")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		b.Skipf("%v; make build", err)
	}
	return path
}

// command runs lab as a person does.
func (s *bench) command(b *testing.B, more ...string) {
	b.Helper()
	cmd := exec.Command(s.binary, append([]string{"run", s.lab.Name, "--arch", s.target.Arch.Name}, more...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
}

// run runs a job, which has to pass.
func (s *bench) run(b *testing.B, j harness.Job) *harness.Outcome {
	b.Helper()
	out, err := harness.Run(b.Context(), j)
	if err != nil || out.Result.Verdict != verdict.Pass {
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

// goals are what the figures are to be, by architecture. They are printed as
// ratios: 1 and less is reached, of a duration or of memory; 1 and more of the rest.
type goals struct {
	warm, byHand, cold, perMinute, memory float64
}

func goalsOf(arch string) goals {
	return map[string]goals{
		"x86_64":  {warm: 0.16, byHand: 10, cold: 1.15, perMinute: 400, memory: 50},
		"riscv64": {warm: 0.16, byHand: 6, cold: 1.15, perMinute: 400, memory: 70},
	}[arch]
}

// against reports a figure, and the same as a part of its goal.
func against(b *testing.B, value, goal float64, unit string) {
	b.ReportMetric(value, unit)
	b.ReportMetric(value/goal, unit+"/goal")
}

// BenchmarkRun compares lab run, warm and cold, with the same done by hand: a
// boot, gdb with the generated script, the same stops; and a cold run with what the
// machine alone took of it.
func BenchmarkRun(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		if _, err := exec.LookPath(gdb.Debugger); err != nil {
			b.Skip(err)
		}
		config, err := s.app.host().Shell(b.Context(), s.target)
		if err != nil {
			b.Fatal(err)
		}
		var warm, cold, hand, own, trips, memory, whole []float64
		for b.Loop() {
			sample(&warm, func() { s.command(b) })
			dir := b.TempDir()
			sample(&cold, func() { s.command(b, "--cold", "--out", dir) })
			own = append(own, machineTime(b, dir))
			sample(&hand, func() { gdbSession(b, s.app, s.lab, s.target, config) })
			_, private := s.measured(b, false)
			whole = append(whole, private)
			out, private := s.measured(b, true)
			memory = append(memory, private)
			n := 0
			for _, e := range out.Trace.Events {
				if e.Kind == trace.KindStop {
					n++
				}
			}
			trips = append(trips, float64(out.Trips)/float64(n))
		}
		goal := goalsOf(s.target.Arch.Name)
		b.ReportMetric(0, "ns/op")
		against(b, median(warm), goal.warm, "warm-s")
		against(b, median(hand)/median(warm), goal.byHand, "by-hand/warm")
		against(b, median(cold)/median(own), goal.cold, "cold/own")
		against(b, median(memory), goal.memory, "private-MB")
		against(b, median(whole), goal.memory, "class-private-MB")
		b.ReportMetric(median(cold), "cold-s")
		b.ReportMetric(median(hand), "by-hand-s")
		b.ReportMetric(median(trips), "round-trips/stop")
	})
}

// machineTime is what the machine alone took of a run that booted, in seconds, by the
// times that the run left.
func machineTime(b *testing.B, dir string) float64 {
	b.Helper()
	var times harness.Times
	if err := json.Unmarshal([]byte(readFile(b, filepath.Join(dir, harness.TimesFile))), &times); err != nil {
		b.Fatal(err)
	}
	return (times.Boot + times.Drive).Seconds()
}

// measured is a warm run and the memory that its QEMU had for itself at the
// last stop.
func (s *bench) measured(b *testing.B, again bool) (*harness.Outcome, float64) {
	j := s.job
	j.Again = again
	pid, private := 0, 0.0
	j.Began = func(_ trace.Header, m *machine.Machine) { pid = m.VM.PID() }
	j.Event = func(e trace.Event) {
		if e.Kind == trace.KindStop {
			private = privateMB(pid)
		}
	}
	return s.run(b, j), private
}

// BenchmarkStart is a guest that is ready for a lab: booted, and from the snapshot.
func BenchmarkStart(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		start := func(cold bool) func() {
			spec := s.job.Machine
			spec.Cold, spec.Stage = cold, nil
			return func() {
				m, err := spec.Start(b.Context(), io.Discard)
				if err != nil {
					b.Fatal(err)
				}
				m.Close()
			}
		}
		var boot, restored []float64
		for b.Loop() {
			sample(&boot, start(true))
			sample(&restored, start(false))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(median(boot), "boot-s")
		b.ReportMetric(median(restored), "restore-s")
		b.ReportMetric(median(boot)/median(restored), "boot/restore")
	})
}

// privateMB is what another guest beside this one would need more: the pages that
// the process has written to. Private_Clean is left out, which are pages of QEMU's
// executable, its libraries and the snapshot, private for as long as no other
// process maps them.
func privateMB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Private_Dirty:" {
			kb, _ := strconv.Atoi(f[1])
			sum += kb
		}
	}
	return float64(sum) / 1e3
}

// BenchmarkThroughput is graded runs a minute, as many at a time as there is room
// for: of the lab's own program, and of a class, where each is brought a program
// that no other has.
func BenchmarkThroughput(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		program, err := os.ReadFile(s.job.Program)
		if err != nil {
			b.Fatal(err)
		}
		const runs = 8
		goal := goalsOf(s.target.Arch.Name).perMinute
		for _, kind := range []struct {
			name string
			each bool // every run has a program of its own
		}{{"own", false}, {"class", true}} {
			b.Run(kind.name, func(b *testing.B) {
				dir, n := b.TempDir(), 0
				var rates []float64
				for b.Loop() {
					var jobs []harness.Pending
					for range runs {
						j := s.job
						if kind.each {
							n++
							j.Again, j.Program = false, filepath.Join(dir, strconv.Itoa(n))
							if err := os.WriteFile(j.Program, append(program[:len(program):len(program)], strconv.Itoa(n)...), 0o700); err != nil {
								b.Fatal(err)
							}
						}
						jobs = append(jobs, harness.Pending{Rules: j.Rules, Prepare: func(context.Context, func(string)) (harness.Job, error) { return j, nil }})
					}
					began := time.Now()
					finished, err := harness.Many{}.Run(b.Context(), jobs)
					rates = append(rates, runs/time.Since(began).Minutes())
					for _, f := range finished {
						if err != nil || f.Result.Verdict != verdict.Pass {
							b.Fatalf("%v, %+v", err, f.Result)
						}
					}
				}
				b.ReportMetric(0, "ns/op")
				against(b, median(rates), goal, "runs/min")
			})
		}
	})
}

// BenchmarkOpenKernel opens a kernel of the cache and its types.
func BenchmarkOpenKernel(b *testing.B) {
	eachBench(b, func(b *testing.B, s *bench) {
		dir, err := s.app.cache.Path("unpacked")
		if err != nil {
			b.Fatal(err)
		}
		var times []float64
		for b.Loop() {
			sample(&times, func() {
				im, err := kernel.OpenCached(s.target.Path, s.digest, dir)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := im.Field("task_struct", "pid"); err != nil {
					b.Fatal(err)
				}
			})
		}
		b.ReportMetric(0, "ns/op")
		against(b, 1e3*median(times), 50, "ms")
	})
}

// BenchmarkList is lab list from process start to exit.
func BenchmarkList(b *testing.B) {
	lab := builtLab(b)
	var times []float64
	for b.Loop() {
		sample(&times, func() {
			if out, err := exec.Command(lab, "list").CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		})
	}
	b.ReportMetric(0, "ns/op")
	against(b, 1e3*median(times), 30, "ms")
}

// BenchmarkCourse is the whole course on every kernel of the cache, warm: one
// command.
func BenchmarkCourse(b *testing.B) {
	lab := builtLab(b)
	matrix := func() int {
		out, err := exec.Command(lab, "matrix", "--format", "json").Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			b.Fatalf("%v\n%s", err, exit.Stderr)
		}
		var doc struct {
			Results []struct{ Verdict verdict.Verdict }
		}
		if err := json.Unmarshal(out, &doc); err != nil {
			b.Fatal(err)
		}
		return len(doc.Results)
	}
	matrix() // makes the snapshots
	var times []float64
	runs := 0
	for b.Loop() {
		sample(&times, func() { runs = matrix() })
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(times), "s/course")
	b.ReportMetric(float64(runs), "runs")
	b.ReportMetric(60*float64(runs)/median(times), "runs/min")
}
