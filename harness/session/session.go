// Package session runs a lab on kernels while a person waits: it reports each run when
// it has ended, and leaves its files.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/inspect"
	"kernellab/harness/machine"
	"kernellab/harness/predict"
	"kernellab/harness/prepare"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/images/compile"
	"kernellab/internal/mapped"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// FeedbackFile is the name of what a student reads, in the folder of a run.
const FeedbackFile = "feedback.md"

// Session is how a lab is run.
type Session struct {
	Host    prepare.Host
	Lab     labs.Lab
	Kernels prepare.Kernels
	Machine prepare.Machine
	Out     string // folder of the files, "" for none
	AtOnce  int    // runs at a time, 0 is as many as there is room for
	Format  string // of the report, see report.Formats; text is written when each run ends
	// Verbose reports every step in detail, asides, and what the runs cost. Steps are the
	// points whose steps are reported in detail without it.
	Verbose bool
	Steps   []string
	// EveryArch reports the runs of all architectures in full. Without it the runs of all
	// but the first have a line each, and do not go back to a stop.
	EveryArch bool
	Style     report.Style
	// Show is how Gradescope shows the results. What it hides is hidden in all formats.
	Show report.Gradescope
	// Identity is whose results Classroom 50 reads.
	Identity report.Classroom50

	Submission *submission.Submission // runs in the place of the lab's own program, if not nil
	// Predicted are answers that each run of the lab's own program is compared with when
	// it is over; nil for none.
	Predicted grade.Answers
	compared  *[]predict.Row // receives the comparison of a quiet run, if it is not nil

	// Seeds reports what varies between runs of the lab's own program with the seeds 1 to
	// Seeds, if it is not 0. WhatIf reports what is different in the variation of this
	// name, if it is not "".
	Seeds  int
	WhatIf string

	// At and Rewind name a stop of the run to come back to when the run is over: the
	// first at the point At, or the one that is Rewind from the end, where 1 is the last.
	At     string
	Rewind int
}

// Check returns a mistake of usage if the session cannot be run as it is.
func (s Session) Check() error {
	if err := s.Show.Check(s.Lab.Rules(arch.Names()[0]).CheckNames()); err != nil {
		return usage.Wrap(err)
	}
	if err := prepare.CheckSteps(s.Steps, s.Lab); err != nil {
		return err
	}
	if err := s.checkStop(); err != nil {
		return err
	}
	return s.checkCompared()
}

// checkStop returns a mistake of usage if the runs can not go back to their stop.
func (s Session) checkStop() error {
	switch {
	case !s.back():
		return nil
	case s.At != "" && s.Rewind > 0:
		return usage.Errorf("--at and --rewind are two ways to name a stop: give one")
	case s.quiet():
		return usage.Errorf("--at and --rewind show a stop as text, not as %s", s.Format)
	case s.Submission != nil:
		return usage.Errorf("--at and --rewind go back in the lab's own program: leave out --submission")
	case s.At != "":
		machines, err := prepare.Archs(s.Kernels.Arch)
		if err != nil {
			return err
		}
		return prepare.CheckPoint(s.Lab, s.Lab.Name, machines[0].Name, s.At)
	}
	return nil
}

// back reports whether the runs go back to a stop.
func (s Session) back() bool { return s.At != "" || s.Rewind > 0 }

// quiet reports whether nothing is written before all runs are over.
func (s Session) quiet() bool { return s.Format != report.FormatText }

// run is a session's run on one kernel.
type run struct {
	Session
	target   prepare.Target
	several  bool // the session has other runs
	short    bool // the report is a line
	w        io.Writer
	compiler func() (*compile.Compiler, error)
	notBack  *error // receives why the run did not go back to its stop
}

// Execute runs the lab in the way that the session says, writes the report to w, and
// returns the exit code.
func (s Session) Execute(ctx context.Context, w io.Writer) (code int, err error) {
	switch {
	case s.WhatIf != "":
		return s.runWhatIf(ctx, w)
	case s.Seeds > 0:
		return s.runSeeds(ctx, w)
	}
	doc, err := s.Run(ctx, w)
	return doc.ExitCode(), err
}

// Run runs the lab on the kernels and reports the runs to w. A run that could not be
// graded is a result. An error says that the kernels could not be found, that a report or
// a file could not be written, or that a run did not go back to its stop; or it is that
// of ctx.
func (s Session) Run(ctx context.Context, w io.Writer) (verdict.Document, error) {
	targets, err := s.Host.Open(ctx, s.Kernels)
	var emulator prepare.Emulator
	if err == nil {
		emulator, err = s.Host.Emulator(ctx)
	}
	if err != nil {
		return verdict.Document{}, errors.Join(err, s.ungraded(w, err))
	}
	if s.Submission != nil {
		s.Host.WarnUnsound(ctx, emulator, targets)
	}
	doc, err := s.runAll(ctx, w, targets)
	if err != nil {
		return doc, err
	}
	return doc, s.report(w, doc)
}

// runAll runs the lab on all targets, and writes to w as if one run followed the other.
func (s Session) runAll(ctx context.Context, w io.Writer, targets []prepare.Target) (verdict.Document, error) {
	compiler := sync.OnceValues(func() (*compile.Compiler, error) { return compile.New(ctx, s.Host.Cache) })
	results := make([]verdict.Result, len(targets))
	back := make([]error, len(targets))
	order := progress.NewOrdered(w, len(targets))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(harness.AtOnce(s.AtOnce))
	for i, t := range targets {
		g.Go(func() error {
			r := run{Session: s, target: t, several: len(targets) > 1, short: !s.EveryArch && t.Arch.Name != targets[0].Arch.Name, w: order.Writer(i), compiler: compiler, notBack: &back[i]}
			if i > 0 && !s.quiet() {
				fmt.Fprintln(r.w)
			}
			err := mapped.Guard(func() (err error) {
				results[i], err = r.kept(ctx)
				return err
			})
			return errors.Join(err, order.End(i))
		})
	}
	err := g.Wait()
	doc := verdict.NewDocument(results...)
	if err == nil && s.Out != "" && len(targets) > 1 {
		err = s.write(s.Out, doc, targets[0])
	}
	if err != nil {
		return doc, err
	}
	return doc, errors.Join(back...)
}

// report writes the results of all runs, unless they were written as text before.
func (s Session) report(w io.Writer, doc verdict.Document) error {
	switch s.Format {
	case report.FormatText:
		return nil
	case report.FormatGradescope:
		return s.Show.Write(w, doc)
	case report.FormatJSON, report.FormatClassroom50:
	default:
		if s.Submission != nil {
			doc = redact.Shown(doc, verdict.Visible)
		}
	}
	return s.Identity.WriteOr(w, s.Format, doc, s.Style)
}

// ungraded writes the document of a session whose runs could not begin, for a program
// that reads one. A mistake of usage has none.
func (s Session) ungraded(w io.Writer, err error) error {
	if !s.quiet() || s.Format == report.FormatClassroom50 || usage.Is(err) || errors.Is(err, context.Canceled) {
		return nil
	}
	result := grade.Failure(s.Lab.Rules(arch.Names()[0]), "", s.Host.Cache.Advised(err))
	result.Arch = "" // not known: the checks are the same on each
	return report.Write(w, s.Format, verdict.NewDocument(result), s.Style)
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
		result = grade.Failure(r.rules(), t.Image.Release, r.Host.Cache.Advised(err))
	}
	if r.Out != "" || err != nil { // else the folder is removed in a moment
		if werr := r.write(folder.Dir, verdict.NewDocument(result), t); werr != nil && r.Out != "" {
			return result, werr
		}
	}
	files := folder.Close(err != nil)
	if err != nil {
		r.Host.Explain(fmt.Errorf("%s on %s could not be graded: %w", r.Lab.Name, t.Name(), err), files)
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
		job.Rules.Hide = r.Show.Hidden
		return r.submitted(ctx, prepare.Submitted(r.Submission, job, r.compiler, r.Host.Progress.Report))
	}
	return r.own(ctx, job)
}

// own runs the lab's own program.
func (r run) own(ctx context.Context, job harness.Job) (verdict.Result, error) {
	if r.quiet() {
		out, err := harness.Run(ctx, job)
		if err == nil && r.compared != nil {
			*r.compared = predict.Compare(out.Trace, job.Rules, r.Predicted)
		}
		return result(out, err)
	}
	page := r.page(job.Rules)
	job.Began = func(h trace.Header, m *machine.Machine) {
		if m.Restored > 0 {
			r.say("started from a snapshot in %.2f s", m.Restored.Seconds())
		} else {
			r.say("booted in %.1f s", m.Boot.Seconds())
		}
		page.Kernel(h)
	}
	job.Event = func(e trace.Event) {
		page.Event(e)
		if r.Verbose && e.Aside != "" {
			r.say("aside: %s by %d[%s]: %s", e.Point, e.Task.PID, e.Task.Comm, e.Aside)
		}
	}
	out, err := harness.Run(ctx, job)
	if err != nil {
		return verdict.Result{}, errors.Join(err, written(page.Unfinished()))
	}
	if err := page.Result(out.Result); err != nil {
		return out.Result, written(err)
	}
	if r.Predicted != nil {
		rows := predict.Compare(out.Trace, job.Rules, r.Predicted)
		if err := report.Predictions(r.w, r.target.Arch.Name, r.target.Image.Release, rows, r.Style); err != nil {
			return out.Result, written(err)
		}
	}
	if r.Verbose {
		r.say("%d exchanges with the gdbstub, %.2f s from the program's release to its end", out.Trips, out.Times.Drive.Seconds())
	}
	if r.back() && !r.short {
		*r.notBack = r.goBack(ctx, out.Trace)
	}
	return out.Result, nil
}

// goBack stops once more at a stop of a run that is over. The guest is restored from the
// same snapshot, and runs forward on the same path.
func (r run) goBack(ctx context.Context, tr *trace.Trace) error {
	began := time.Now()
	place, of, err := inspect.Back(tr, r.Lab, r.At, r.Rewind)
	if err == nil {
		err = inspect.Guest(ctx, r.Host, r.target, r.Machine, place, func(ctx context.Context, s *inspect.Stop) error {
			r.Host.Progress.Done()
			fmt.Fprintf(r.w, "\nBack at stop %d of %d, %s (%s), after %.2f s:\n\n", place.Step, of, s.Event.Point, s.Event.Symbol, time.Since(began).Seconds())
			return s.Write(ctx, r.w, r.target.Arch)
		})
	}
	if err != nil {
		return fmt.Errorf("go back in %s on %s: %w", r.Lab.Name, r.target.Name(), err)
	}
	return nil
}

// submitted runs a submission.
func (r run) submitted(ctx context.Context, s harness.Submitted) (verdict.Result, error) {
	if r.quiet() {
		return result(s.Run(ctx))
	}
	page := r.page(s.Rules())
	page.Student()
	s.Own.Began = func(h trace.Header, _ *machine.Machine) { page.Kernel(h) }
	s.Own.Event = page.Event
	out, err := s.Run(ctx)
	r.Host.Progress.Done()
	if err != nil {
		return verdict.Result{}, errors.Join(err, written(page.Unfinished()))
	}
	return out.Result, written(page.Result(out.Result))
}

// page returns the run's report.
func (r run) page(rules grade.Rules) *report.Run {
	style := r.Style
	style.Verbose, style.Steps = r.Verbose, r.Steps
	page := report.NewRun(r.w, rules, style)
	if r.short {
		page.Short()
	}
	return page
}

// written is the error of writing a report.
func written(err error) error {
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// result is the result of an outcome.
func result(out *harness.Outcome, err error) (verdict.Result, error) {
	if err != nil {
		return verdict.Result{}, err
	}
	return out.Result, nil
}
