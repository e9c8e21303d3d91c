// Package matrix runs labs on many kernels: every lab on every kernel, several runs
// at a time, each in a folder of its own. A kernel that cannot be used fails its own
// runs and no others.
package matrix

import (
	"context"
	"fmt"
	"strings"

	"kernellab/harness"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// Run is one lab on one kernel.
type Run struct {
	Lab    labs.Lab
	Target prepare.Target
	Kept   string // where a run that could not be graded left its files, "" for nowhere

	image  *kernel.Image   // nil before the run began
	folder *prepare.Folder // likewise
}

// Name names the run to a person.
func (r *Run) Name() string {
	return r.Lab.Name + " on " + strings.TrimSpace(r.Target.Release+" "+r.Target.Arch.Name)
}

// Matrix is how the runs are made.
type Matrix struct {
	Host    prepare.Host
	Machine prepare.Machine
	Out     string // folder for a folder a run, "" for none
	AtOnce  int    // runs at a time, 0 is as many as there is room for

	// The observers take a run and its index. They are called by several goroutines,
	// for one run by one at a time.
	Stage func(i int, r *Run, what string)
	Done  func(i int, r *Run, f harness.Finished)
	Warn  func(error) // the files of a run could not be written
}

// Plan finds the kernels and builds what the guests need. What is not available is
// left to the runs that need it; Plan fails when nothing at all can be run.
func (m Matrix) Plan(ctx context.Context, chosen []labs.Lab, k prepare.Kernels) ([]*Run, error) {
	targets, err := m.Host.Find(ctx, k)
	if err != nil {
		return nil, err
	}
	var runs []*Run
	for _, t := range targets {
		for _, l := range chosen {
			if t.Err == nil { // built before the runs begin; a failure is reported by the run
				m.Host.GuestFor(ctx, l, t.Arch)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			runs = append(runs, &Run{Lab: l, Target: t})
		}
	}
	return runs, nil
}

// Run executes the runs, as harness.Many does.
func (m Matrix) Run(ctx context.Context, runs []*Run) ([]harness.Finished, error) {
	var jobs []harness.Pending
	for _, r := range runs {
		jobs = append(jobs, m.pending(r))
	}
	return harness.Many{
		AtOnce: m.AtOnce,
		Stage:  func(i int, what string) { m.Stage(i, runs[i], what) },
		Done: func(i int, f harness.Finished) {
			if err := m.end(runs[i], f); err != nil {
				m.Warn(err)
			}
			m.Done(i, runs[i], f)
		},
	}.Run(ctx, jobs)
}

// pending makes the job of a run.
func (m Matrix) pending(r *Run) harness.Pending {
	t := r.Target
	return harness.Pending{
		Rules: r.Lab.Rules(t.Arch.Name), Kernel: t.Release,
		Prepare: func(ctx context.Context, stage func(string)) (harness.Job, error) {
			if t.Err != nil {
				return harness.Job{}, t.Err
			}
			stage("reading the kernel")
			var err error
			if t.Image, err = m.Host.Image(t.Path, t.Digest); err != nil {
				return harness.Job{}, err
			}
			r.image = t.Image
			const several = true // each run has a folder of its own, also when it is alone
			if r.folder, err = m.Host.Folder(ctx, m.Out, several, r.Lab, t.Arch.Name, t.Image.Release); err != nil {
				return harness.Job{}, err
			}
			job, err := m.Host.Job(ctx, r.Lab, t, m.Machine)
			if err != nil {
				return job, err
			}
			job.Again, job.Out, job.Machine.Stage, job.Machine.Snapshots.Warn = false, r.folder.Dir, stage, stage
			job.Retry = func(err error) { stage(fmt.Sprintf("once more, because %v", err)) }
			return job, nil
		},
	}
}

// end writes the verdict and closes the run's folder. Without a folder of the
// person's, it is no error that the verdict cannot be written.
func (m Matrix) end(r *Run, f harness.Finished) error {
	if r.image != nil {
		r.image.SaveQueries()
	}
	if r.folder == nil {
		return nil
	}
	err := prepare.WriteVerdict(r.folder.Dir, verdict.NewDocument(f.Result))
	if to := r.folder.Close(f.Err != nil); f.Err != nil {
		r.Kept = to
	}
	if m.Out == "" {
		return nil
	}
	return err
}

// Ending says how a run ended, in a line.
func Ending(f harness.Finished) string {
	r := f.Result
	text := fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore)
	if r.Verdict == verdict.Error {
		text, _, _ = strings.Cut("error, "+r.Error, "\n")
	}
	return fmt.Sprintf("%s in %.1f s", text, f.Took.Seconds())
}
