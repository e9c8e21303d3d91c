// Package matrix runs labs on many kernels: every lab on every kernel, several runs
// at a time, each in a folder of its own. A kernel that cannot be used fails its own
// runs and no others.
package matrix

import (
	"context"
	"fmt"
	"io"
	"strings"

	"kernellab/harness"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/regress"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
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

	Baseline string // file to compare with, "" for none
	Update   bool   // record in the baseline what each kernel showed
	Strict   bool   // let no change from the baseline pass
}

// Check returns a mistake of usage if the fields do not go together.
func (m Matrix) Check() error {
	switch {
	case m.Update && m.Baseline == "":
		return usage.Errorf("--update-baseline records into the file of --baseline: name one, such as --baseline labs/baseline.json")
	case m.Strict && m.Baseline == "":
		return usage.Errorf("--strict is about changes from a baseline: name it with --baseline FILE")
	}
	return nil
}

// Run runs labs on kernels, compares the results with the baseline, and writes the files.
// It shows the progress on w.
func (m Matrix) Run(ctx context.Context, w io.Writer, chosen []labs.Lab, k prepare.Kernels) (report.Matrix, error) {
	var base regress.Baseline
	var err error
	if m.Baseline != "" {
		if base, err = readBaseline(m.Baseline, m.Update); err != nil {
			return report.Matrix{}, err
		}
	}
	runs, err := m.plan(ctx, chosen, k)
	if err != nil {
		return report.Matrix{}, err
	}
	b := progress.NewBoard(w, len(runs))
	finished, _ := m.execute(ctx, runs, b) // the error has those of finished
	b.Close()
	if ctx.Err() != nil {
		return report.Matrix{}, ctx.Err()
	}
	for i, r := range runs {
		if finished[i].Err != nil {
			m.Host.Explain(fmt.Errorf("could not be graded: %s: %w", r.Name(), finished[i].Err), r.Kept)
		}
	}
	results, entries := m.compare(base, finished)
	if m.Update {
		for _, e := range base.Update(entries...) {
			m.Host.Progress.Say("not recorded: %s on %s %s, which could not be graded", e.Lab, e.Kernel, e.Arch)
		}
		if err := writeBaseline(m.Baseline, base); err != nil {
			return results, err
		}
	}
	return results, write(m.Out, results)
}

// plan finds the kernels and builds what the guests need. What is not available is
// left to the runs that need it; plan fails when nothing at all can be run.
func (m Matrix) plan(ctx context.Context, chosen []labs.Lab, k prepare.Kernels) ([]*Run, error) {
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

// execute executes the runs, as harness.Many does.
func (m Matrix) execute(ctx context.Context, runs []*Run, b *progress.Board) ([]harness.Finished, error) {
	var jobs []harness.Pending
	for _, r := range runs {
		jobs = append(jobs, m.pending(r))
	}
	return harness.Many{
		AtOnce: m.AtOnce,
		Stage:  func(i int, what string) { b.Stage(i, runs[i].Name(), what) },
		Done: func(i int, f harness.Finished) {
			if err := m.end(runs[i], f); err != nil {
				b.Say("%v", err)
			}
			b.End(i, runs[i].Name(), ending(f))
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

// ending says how a run ended, in a line.
func ending(f harness.Finished) string {
	r := f.Result
	text := fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore)
	if r.Verdict == verdict.Error {
		text, _, _ = strings.Cut("error, "+r.Error, "\n")
	}
	return fmt.Sprintf("%s in %.1f s", text, f.Took.Seconds())
}
