// Package session runs a lab on kernels while a person watches: it reports each run
// as it happens, and leaves its files.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/compile"
	"kernellab/internal/progress"
	"kernellab/labs"
)

// FeedbackFile is the name of what a student reads, in the folder of a run.
const FeedbackFile = "feedback.md"

// Session is how a lab is run.
type Session struct {
	Host    prepare.Host
	Lab     labs.Lab
	Machine prepare.Machine
	Out     string // folder of the files, "" for none
	AtOnce  int    // runs at a time, 0 is as many as there is room for
	Quiet   bool   // report nothing
	Verbose bool   // report asides and what the runs cost
	Style   report.Style

	Submission *submission.Submission // runs in the place of the lab's own program, if not nil
	Hidden     []string               // checks that the student does not see

	// Explain takes why a run could not be graded, and where its files are, or "".
	Explain func(err error, files string)
	// After is called when a run of the lab's own program was reported; nil for nothing.
	After func(ctx context.Context, w io.Writer, t prepare.Target, tr *trace.Trace)
}

// run is a session's run on one kernel.
type run struct {
	Session
	target   prepare.Target
	several  bool // the session has other runs
	w        io.Writer
	compiler func() (*compile.Compiler, error)
}

// Run runs the lab on all targets, and writes to w as if one run followed the other.
// A run that could not be graded is a result. An error is that of writing a report or
// a file, or that of ctx.
func (s Session) Run(ctx context.Context, w io.Writer, targets []prepare.Target) (verdict.Document, error) {
	compiler := sync.OnceValues(func() (*compile.Compiler, error) { return compile.New(ctx, s.Host.Cache) })
	results := make([]verdict.Result, len(targets))
	order := progress.NewOrdered(w, len(targets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(harness.AtOnce(s.AtOnce))
	for i, t := range targets {
		g.Go(func() error {
			r := run{Session: s, target: t, several: len(targets) > 1, w: order.Writer(i), compiler: compiler}
			if i > 0 && !s.Quiet {
				fmt.Fprintln(r.w)
			}
			var err error
			results[i], err = r.kept(ctx)
			return errors.Join(err, order.End(i))
		})
	}
	err := g.Wait()
	doc := verdict.NewDocument(results...)
	if err == nil && s.Out != "" && len(targets) > 1 {
		err = s.write(s.Out, doc, targets[0])
	}
	return doc, err
}

// write writes the files of a document into a folder.
func (s Session) write(dir string, doc verdict.Document, t prepare.Target) error {
	if err := prepare.WriteVerdict(dir, doc); err != nil || s.Submission == nil {
		return err
	}
	text := report.Feedback(doc, s.Lab.Rules(t.Arch.Name))
	if err := os.WriteFile(filepath.Join(dir, FeedbackFile), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the feedback: %w", err)
	}
	return nil
}

// kept runs the lab and writes the files of the run: into Out, or, when the run was not
// graded, into the cache.
func (r run) kept(ctx context.Context) (verdict.Result, error) {
	t := r.target
	folder, err := r.Host.Folder(ctx, r.Out, r.several, r.Lab, t.Arch.Name, t.Image.Release)
	if err != nil {
		return verdict.Result{}, err
	}
	result, err := r.graded(ctx, folder.Dir)
	t.Image.SaveQueries()
	r.Host.Progress.Done()
	if ctx.Err() != nil {
		folder.Close(false)
		return result, ctx.Err()
	}
	if err != nil {
		result = grade.Failure(r.rules(), t.Image.Release, err)
	}
	if r.Out != "" || err != nil { // else the folder is removed in a moment
		if werr := r.write(folder.Dir, verdict.NewDocument(result), t); werr != nil && r.Out != "" {
			return result, werr
		}
	}
	files := folder.Close(err != nil)
	if err != nil {
		r.Explain(fmt.Errorf("%s on %s could not be graded: %w", r.Lab.Name, t.Name(), err), files)
	}
	return result, nil
}

// rules are the rules of a run that could not be graded.
func (r run) rules() grade.Rules {
	rules := r.Lab.Rules(r.target.Arch.Name)
	if r.Submission == nil {
		return rules
	}
	return harness.Submitted{Submission: r.Submission, Own: harness.Job{Rules: rules}}.Rules()
}

// say reports a message about the run.
func (r run) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.several {
		text = r.target.Name() + ": " + text
	}
	r.Host.Progress.Say("%s", text)
}

// graded prepares the run, executes it and reports it.
func (r run) graded(ctx context.Context, dir string) (verdict.Result, error) {
	job, err := r.Host.Job(ctx, r.Lab, r.target, r.Machine)
	if err != nil {
		return verdict.Result{}, err
	}
	go job.Rules.Validate() // to have its expressions compiled before a guest waits for them
	job.Out = dir
	job.Machine.Stage = func(what string) { r.say("%s", what) }
	job.Retry = func(err error) { r.say("%v; trying once more", err) }
	if r.Submission != nil {
		job.Rules.Hide = r.Hidden
		return r.submitted(ctx, prepare.Submitted(r.Submission, job, r.compiler, r.Host.Progress.Report))
	}
	return r.own(ctx, job)
}

// own runs the lab's own program.
func (r run) own(ctx context.Context, job harness.Job) (verdict.Result, error) {
	if r.Quiet {
		return result(harness.Run(ctx, job))
	}
	var written error // standard output may be gone: the run ends all the same
	show := func(err error) { written = errors.Join(written, err) }
	live := report.NewLive(r.w, job.Rules, r.Style)
	if r.Verbose {
		live.Verbose()
	}
	job.Began = func(h trace.Header, m *machine.Machine) {
		if m.Restored > 0 {
			r.say("started from a snapshot in %.2f s", m.Restored.Seconds())
		} else {
			r.say("booted in %.1f s", m.Boot.Seconds())
		}
		show(live.Kernel(h))
	}
	job.Event = func(e trace.Event) {
		show(live.Event(e))
		if r.Verbose && e.Aside != "" {
			r.say("aside: %s by %d[%s]: %s", e.Point, e.Task.PID, e.Task.Comm, e.Aside)
		}
	}
	out, err := harness.Run(ctx, job)
	if err != nil {
		return verdict.Result{}, err
	}
	show(live.Result(out.Result))
	if written != nil {
		return out.Result, fmt.Errorf("write the report: %w", written)
	}
	if r.Verbose {
		r.say("%d exchanges with the gdbstub, %.2f s from the program's release to its end", out.Trips, out.Times.Drive.Seconds())
	}
	if r.After != nil {
		r.After(ctx, r.w, r.target, out.Trace)
	}
	return out.Result, nil
}

// submitted runs a submission.
func (r run) submitted(ctx context.Context, s harness.Submitted) (verdict.Result, error) {
	if r.Quiet {
		return result(s.Run(ctx))
	}
	live := report.NewLive(r.w, s.Rules(), r.Style)
	live.Student()
	began := false
	var written error
	show := func(err error) { written = errors.Join(written, err) }
	s.Own.Began = func(h trace.Header, _ *machine.Machine) {
		began = true
		show(live.Kernel(h))
	}
	s.Own.Event = func(e trace.Event) { show(live.Event(e)) }
	out, err := s.Run(ctx)
	r.Host.Progress.Done()
	if err != nil {
		return verdict.Result{}, err
	}
	if began {
		show(live.Result(out.Result))
	} else {
		show(report.Text(r.w, redact.Shown(verdict.NewDocument(out.Result), verdict.Visible), r.Style))
	}
	if written != nil {
		return out.Result, fmt.Errorf("write the report: %w", written)
	}
	return out.Result, nil
}

// result is the result of an outcome.
func result(out *harness.Outcome, err error) (verdict.Result, error) {
	if err != nil {
		return verdict.Result{}, err
	}
	return out.Result, nil
}
