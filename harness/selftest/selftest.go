// Package selftest runs the tests of a lab: those that its author needs before students
// get it. Its handout and questions are checked without a guest. On kernels, its own
// program has to pass, with every seed and in every student's task that is asked for,
// and each program in testdata/wrong has to fail with the findings that are expected of
// it. What students read of these runs must not answer a question.
//
// The course's labs are tested by the same code. Package harness runs the programs.
package selftest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"kernellab/harness"
	"kernellab/harness/prepare"
	"kernellab/harness/trace"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/images/compile"
	"kernellab/labs"
)

// Kernel is a kernel that the lab's programs run on.
type Kernel struct {
	Name          string // for people: "x86_64 Linux 6.1.0-56-cloud-amd64"
	Arch, Release string
	// Job returns the run of the lab's own program.
	Job func(context.Context, labs.Lab) (harness.Job, error)
	// Compile returns the executable of a program in the place of the lab's own.
	Compile func(context.Context, labs.Lab, fs.FS) (path string, err error)
}

// On returns the kernel of a target, on which machines run.
func On(h prepare.Host, t prepare.Target, m prepare.Machine) Kernel {
	return Kernel{
		Name: t.Name(), Arch: t.Arch.Name, Release: t.Image.Release,
		Job: func(ctx context.Context, l labs.Lab) (harness.Job, error) {
			j, err := h.Job(ctx, l, t, m)
			j.Machine.Stage = nil
			return j, err
		},
		Compile: func(ctx context.Context, l labs.Lab, program fs.FS) (string, error) {
			return compile.Program(ctx, h.Cache, t.Arch.GOARCH, l.Name, program, nil)
		},
	}
}

// OnAll is On for several targets, on machines with one processor.
func OnAll(h prepare.Host, targets []prepare.Target) (all []Kernel) {
	for _, t := range targets {
		all = append(all, On(h, t, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1}))
	}
	return all
}

// Load finds the lab to test. A lab in a folder that does not load has a report, which
// says why.
func Load(name string) (labs.Lab, *Report, error) {
	l, err := prepare.Lab(name)
	var broken *labs.Error
	if errors.As(err, &broken) && strings.Contains(name, "/") && !broken.None() {
		r := Broken(filepath.Base(name), err)
		return l, &r, nil
	}
	return l, nil, err
}

// Test is how a lab is tested.
type Test struct {
	Lab     labs.Lab
	Kernels []Kernel
	Seeds   int  // the lab's own program runs with the seeds 1 to Seeds, at least with 1
	Tasks   bool // it also runs in tasks that have every value of the lab's variants
	AtOnce  int  // runs at a time, 0 is as many as there is room for
	// Wrong selects wrong programs by their place in the order of names, from 0, and their
	// names; nil is all.
	Wrong func(i int, name string) bool
	// Done takes each line when it and those before it are known.
	Done func(Line)
	// Do runs a job, nil is harness.Run.
	Do func(context.Context, harness.Job) (*harness.Outcome, error)
}

// job is a run of the test.
type job struct {
	name    string
	kernel  Kernel
	lab     labs.Lab // in the task of the run
	prepare func(context.Context) (harness.Job, error)
	judge   func(harness.Finished, *trace.Trace) []string // with the trace of the lab's own program
	own     bool                                          // it is that program's first run on the kernel
}

// Run tests the lab. The error is that of ctx.
func (t Test) Run(ctx context.Context) (Report, error) {
	report := Report{Schema: Schema, Lab: t.Lab.Name, Tests: []Line{}}
	say := func(l Line) {
		report.Tests = append(report.Tests, l)
		if t.Done != nil {
			t.Done(l)
		}
	}
	for _, l := range Static(t.Lab) {
		say(l)
	}
	wrong, err := Wrong(t.Lab)
	if err != nil { // which Static reports
		wrong = nil
	}
	var jobs []job
	for _, k := range t.Kernels {
		jobs = append(jobs, t.jobs(k, wrong)...)
	}
	pending := make([]harness.Pending, len(jobs))
	for i, j := range jobs {
		pending[i] = harness.Pending{Rules: j.lab.Rules(j.kernel.Arch), Kernel: j.kernel.Release, Prepare: func(ctx context.Context, _ func(string)) (harness.Job, error) {
			return j.prepare(ctx)
		}}
	}
	var each sync.Mutex
	ended := make([]*harness.Finished, len(jobs))
	next := 0
	var own *trace.Trace // of the kernel of job next
	many := harness.Many{AtOnce: t.AtOnce, Do: t.Do, Done: func(i int, f harness.Finished) {
		each.Lock()
		defer each.Unlock()
		for ended[i] = &f; next < len(jobs) && ended[next] != nil; next++ {
			j := jobs[next]
			if j.own {
				own = ended[next].Trace
			}
			say(j.line(*ended[next], own))
			ended[next].Trace = nil // a trace may be large, and no other line needs it
		}
	}}
	if _, err := many.Run(ctx, pending); ctx.Err() != nil {
		return report, fmt.Errorf("test %s: %w", t.Lab.Name, err)
	}
	return report, nil
}

// jobs returns the runs on a kernel, the lab's own program first.
func (t Test) jobs(k Kernel, wrong map[string]Expectation) []job {
	own := func(name string, l labs.Lab, seed int) job {
		return job{name: name, kernel: k, lab: l, judge: func(f harness.Finished, _ *trace.Trace) []string { return passes(l, f) },
			prepare: func(ctx context.Context) (harness.Job, error) {
				j, err := k.Job(ctx, l)
				if seed != prepare.DefaultSeed {
					// A snapshot for each seed would drive out those that are used again.
					j.Machine.Seed, j.Machine.Cold, j.Again = uint32(seed), true, false
				}
				return j, err
			}}
	}
	jobs := []job{own("its own program", t.Lab, prepare.DefaultSeed)}
	jobs[0].own = true
	for seed := prepare.DefaultSeed + 1; seed <= t.Seeds; seed++ {
		jobs = append(jobs, own(fmt.Sprintf("its own program, seed %d", seed), t.Lab, seed))
	}
	if t.Tasks {
		for _, values := range t.Lab.EachTask()[1:] {
			name := "its own program, " + variant.Words(values)
			l, err := t.Lab.With(values)
			if err != nil {
				jobs = append(jobs, job{name: name, kernel: k, lab: t.Lab, prepare: func(context.Context) (harness.Job, error) { return harness.Job{}, err }})
				continue
			}
			jobs = append(jobs, own(name, l, prepare.DefaultSeed))
		}
	}
	for i, name := range slices.Sorted(maps.Keys(wrong)) {
		if t.Wrong != nil && !t.Wrong(i, name) {
			continue
		}
		want := wrong[name]
		jobs = append(jobs, job{
			name: WrongFolder + "/" + name, kernel: k, lab: t.Lab,
			judge: func(f harness.Finished, own *trace.Trace) []string { return want.missed(t.Lab, f, own) },
			prepare: func(ctx context.Context) (harness.Job, error) {
				j, err := k.Job(ctx, t.Lab)
				if err != nil {
					return j, err
				}
				j.Limit, j.Again = want.Limit, false
				if j.Script = cmp.Or(want.script, t.Lab.Script); want.script == "" {
					j.Program, err = k.Compile(ctx, t.Lab, want.files)
				}
				return j, err
			},
		})
	}
	return jobs
}

// line is what came of a run.
func (j job) line(f harness.Finished, own *trace.Trace) Line {
	l := Line{Test: j.name, Kernel: j.kernel.Name, Verdict: verdict.Pass, Problems: []string{}}
	if f.Err != nil {
		l.Verdict, l.Problems = verdict.Error, []string{f.Err.Error()}
		return l
	}
	if p := j.judge(f, own); len(p) > 0 {
		l.Verdict, l.Problems = verdict.Fail, p
	}
	return l
}

// passes says why a run of the lab's own program is not what it should be.
func passes(l labs.Lab, f harness.Finished) (problems []string) {
	r := f.Result
	if r.Verdict != verdict.Pass {
		problems = append(problems, fmt.Sprintf("the verdict is %s, %d of %d points", r.Verdict, r.Score, r.MaxScore))
		for _, finding := range r.Findings {
			problems = append(problems, finding.Message)
		}
		return problems
	}
	rules := l.Rules(f.Trace.Header.Arch)
	problems = append(problems, unexplained(rules, f.Trace)...)
	given, err := l.Giveaways(f.Trace)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, g := range given {
		problems = append(problems, g.String())
	}
	return append(problems, Leaks(l, rules, f.Trace, f.Trace)...)
}

// missed says what is not as expected in a run of a wrong program.
func (e Expectation) missed(l labs.Lab, f harness.Finished, own *trace.Trace) (problems []string) {
	if f.Result.Verdict != verdict.Fail {
		problems = append(problems, fmt.Sprintf("the verdict is %s, want fail", f.Result.Verdict))
	}
	var told []string
	for _, finding := range f.Result.Findings {
		told = append(told, finding.Message)
	}
	for _, w := range e.Words {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, w) }) {
			problems = append(problems, fmt.Sprintf("no finding says %q: %s", w, strings.Join(told, " | ")))
		}
	}
	if own == nil {
		return append(problems, "what students read of it is not checked, because the lab's own program did not run")
	}
	return append(problems, Leaks(l, l.Rules(f.Trace.Header.Arch), own, f.Trace)...)
}

// Schema names the report of a lab's tests and its version.
const Schema = "lab.labtest/1"

// Report is what came of the tests of a lab.
type Report struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	Tests  []Line `json:"tests"`
}

// Line is what came of one test. It is not Pass if and only if it has problems, the
// sentences that say why; Error means that the test could not be made.
type Line struct {
	Test     string          `json:"test"`
	Kernel   string          `json:"kernel,omitempty"` // "" for a test without a guest
	Verdict  verdict.Verdict `json:"verdict"`
	Problems []string        `json:"problems"`
}

// ExitCode returns the worst exit code of the tests.
func (r Report) ExitCode() int {
	worst := verdict.ExitPass
	for _, l := range r.Tests {
		switch l.Verdict {
		case verdict.Fail:
			worst = max(worst, verdict.ExitFail)
		case verdict.Error:
			worst = verdict.ExitError
		}
	}
	return worst
}

// Broken is the report of a lab that does not load.
func Broken(name string, err error) Report {
	return Report{Schema: Schema, Lab: name, Tests: []Line{{Test: testLoads, Verdict: verdict.Fail, Problems: strings.Split(strings.TrimSpace(err.Error()), "\n")}}}
}

// errNoWrong is returned for a lab without wrong programs.
var errNoWrong = errors.New("there is no " + WrongFolder + ": write a program for each mistake that students make, and what its findings have to say in findings.yaml")
