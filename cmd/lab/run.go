package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/flags"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// runFlags are the flags of lab run.
type runFlags struct {
	prepare.Kernels
	prepare.Machine
	format  string
	show    report.Gradescope
	out     string
	seeds   int // run with so many seeds instead of one
	verbose bool
	jobs    int
	at      string
	rewind  int

	submission string // path of what a student handed in
	submitted  *submission.Submission
}

// back reports whether the run is to be stopped at once more.
func (f runFlags) back() bool { return f.at != "" || f.rewind > 0 }

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := oneLab(&cobra.Command{
		Use:   "run LAB",
		Short: "Run a lab on real kernels and grade what was seen",
		Long: `run starts a kernel in QEMU, runs the lab's program in it, stops at the lab's
points, shows each step as it happens and grades the whole.

A kernel is booted once: later runs start from a snapshot of the booted guest,
which the cache keeps. --cold boots it.

The guest's time passes with its instructions, so a run repeats exactly: the same
kernel, program, QEMU and --seed give the same trace, on any host, unless --cpus asks
for more than one processor. --timeout is of that time too: how slow the host is has
no part in it.

A kernel is a series (6.12: the newest packaged build), an exact version
(6.12.107) or the path of an image file; what is not in the cache is fetched.

With --submission the student's program takes the place of the lab's, and the
answers are graded; lab init begins a submission.`,
		Example: "  lab run fork-new\n  lab run fork-new --arch riscv64 --kernel 7.2\n  lab run fork-new --kernel ./bzImage --format json\n  lab run fork-new --arch x86_64 --rewind 2",
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			if err := errors.Join(checkBack(lab, f), checkShow(lab, f.show)); err != nil {
				return err
			}
			if f.submission != "" {
				if f.back() {
					return usage.Errorf("--at and --rewind go back in the lab's own program: leave out --submission")
				}
				if f.submitted, err = prepare.Submission(cmd.Context(), lab, f.submission); err != nil {
					return err
				}
			}
			if f.seeds > 0 {
				if err := f.checkSeeds(cmd); err != nil {
					return err
				}
				return a.runSeeds(cmd.Context(), lab, f)
			}
			return a.run(cmd.Context(), lab, f)
		},
	})
	fl := cmd.Flags()
	a.kernelFlags(cmd, &f.Kernels, "")
	machineFlags(cmd, &f.Machine)
	vmlinuxFlag(cmd, &f.Vmlinux)
	formatFlag(cmd, &f.format, report.Formats())
	gradescopeFlags(cmd, &f.show)
	fl.Var(flags.Text(&f.out, "", flags.OutFolder), "out", "folder for the trace, console, verdict, QEMU command line and times of each run")
	textFlag(cmd, &f.at, "at", "when the run is over, stop in it again at this point and show all there is")
	fl.Var(flags.Text(&f.submission, "", submission.CheckPath), "submission", "grade what a student handed in: a folder or an archive with prog.go or prog.c and answers.yaml")
	jobsFlag(cmd, &f.jobs, "runs, where several kernels are named,")
	fl.Var(flags.Number(&f.seeds, 0, 1, maxSeeds), "seeds", "run with the seeds 1 to `N` and show what varied")
	fl.Var(flags.Number(&f.rewind, 0, 1, math.MaxInt32), "rewind", "the same at the stop that is `N` from the end: 1 is the last")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "also tell the stops that are no step, and what the run cost")
	return cmd
}

// checkSeeds refuses what --seeds does not go with.
func (f runFlags) checkSeeds(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("seed"):
		return usage.Errorf("--seed and --seeds are two ways to name seeds: give one")
	case f.submitted != nil || f.back() || f.out != "":
		return usage.Errorf("--seeds runs the lab's own program and keeps no files: leave out --submission, --out, --at and --rewind")
	case !slices.Contains(report.SeedsFormats(), f.format):
		return usage.Unknown("format of --seeds", f.format, report.SeedsFormats(), "use text or json")
	}
	return nil
}

// run runs the lab on every target. A failure on one does not stop the others.
func (a *app) run(ctx context.Context, l labs.Lab, f runFlags) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	host := a.host(p)
	targets, err := host.Open(ctx, f.Kernels)
	var emu prepare.Emulator
	if err == nil {
		emu, err = host.Emulator(ctx)
	}
	if err != nil {
		return errors.Join(err, a.ungraded(l, f.format, err))
	}
	if f.submitted != nil {
		host.WarnUnsound(ctx, emu, targets)
	}
	session := session.Session{
		Host: host, Lab: l, Machine: f.Machine, Out: f.out, AtOnce: f.jobs, Quiet: f.format != report.FormatText, Verbose: f.verbose,
		Style: report.Terminal(a.stdout), Submission: f.submitted, Hidden: f.show.Hidden,
		Explain: func(err error, files string) {
			a.explain(p, err)
			if files != "" {
				fmt.Fprintf(p, "  what the run left is in %s\n", files)
			}
		},
	}
	var back sync.Map // errors of going back, by target; the verdicts stand
	if f.back() {
		session.After = func(ctx context.Context, w io.Writer, t prepare.Target, tr *trace.Trace) {
			if err := goBack(ctx, w, host, l, t, f, tr); err != nil {
				back.Store(t.Name(), fmt.Errorf("go back in %s on %s: %w", l.Name, t.Name(), err))
			}
		}
	}
	doc, err := session.Run(ctx, a.stdout, targets)
	if err != nil {
		return err
	}
	a.code = doc.ExitCode()
	if f.format == report.FormatText {
		var errs []error
		back.Range(func(_, err any) bool { errs = append(errs, err.(error)); return true })
		return errors.Join(errs...)
	}
	if f.format == report.FormatGradescope {
		return f.show.Write(a.stdout, doc)
	}
	if f.submitted != nil && f.format != report.FormatJSON {
		doc = redact.Shown(doc, verdict.Visible)
	}
	return report.Write(a.stdout, f.format, doc, report.Terminal(a.stdout))
}

// ungraded gives a program that reads the document one for a run that could not
// begin. A mistake of usage has none.
func (a *app) ungraded(l labs.Lab, format string, err error) error {
	if format == report.FormatText || usage.Is(err) || errors.Is(err, context.Canceled) {
		return nil
	}
	result := grade.Failure(l.Rules(arch.Names()[0]), "", err)
	result.Arch = "" // not known: the checks are the same on each
	return report.Write(a.stdout, format, verdict.NewDocument(result), report.Terminal(a.stdout))
}
