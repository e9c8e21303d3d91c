package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// runFlags are the flags of lab run.
type runFlags struct {
	arch    string
	kernels []string
	vmlinux string
	format  string
	show    report.Gradescope
	out     string
	machineFlags
	seeds   int // run with so many seeds instead of one
	verbose bool
	jobs    int
	who     string // in front of what one of several runs says of itself
	at      string
	rewind  int

	submission string // path of what a student handed in
	submitted  *submission.Submission
	compiler   func() (*images.Compiler, error)
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
			if err := checkFormat(f.format); err != nil {
				return err
			}
			lab, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			if f.jobs < 0 {
				return usage.Errorf("--jobs %d: want 1 or more, or 0 for as many as processors and memory allow", f.jobs)
			}
			if err := errors.Join(f.machineFlags.check(cmd), checkBack(lab, f), checkShow(lab, f.show)); err != nil {
				return err
			}
			if cmd.Flags().Changed("submission") {
				if f.back() {
					return usage.Errorf("--at and --rewind go back in the lab's own program: leave out --submission")
				}
				if f.submitted, err = prepare.Submission(cmd.Context(), lab, f.submission); err != nil {
					return err
				}
				f.compiler = a.compiler(cmd.Context())
			}
			if cmd.Flags().Changed("seeds") {
				if err := f.checkSeeds(cmd); err != nil {
					return err
				}
				return a.runSeeds(cmd.Context(), lab, f)
			}
			return a.run(cmd.Context(), lab, f)
		},
	})
	archFlag(cmd, &f.arch, "all")
	fl := cmd.Flags()
	fl.StringArrayVar(&f.kernels, "kernel", nil, "kernel: series, version or image file; may be repeated")
	vmlinuxFlag(cmd, &f.vmlinux)
	formatFlag(cmd, &f.format)
	gradescopeFlags(cmd, &f.show)
	fl.StringVar(&f.out, "out", "", "folder for the trace, console, verdict, QEMU command line and times of each run")
	f.machineFlags.add(cmd)
	fl.IntVar(&f.seeds, "seeds", 0, "run with the seeds 1 to `N` and show what varied")
	fl.StringVar(&f.at, "at", "", "when the run is over, stop in it again at this point and show all there is")
	fl.IntVar(&f.rewind, "rewind", 0, "the same at the stop that is `N` from the end: 1 is the last")
	fl.StringVar(&f.submission, "submission", "", "grade what a student handed in: a folder or an archive with prog.go or prog.c and answers.yaml")
	fl.IntVar(&f.jobs, "jobs", 0, "runs at a time, where several kernels are named (default: as many as processors and memory allow)")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "also tell the stops that are no step, and what the run cost")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	return cmd
}

// checkSeeds refuses what --seeds does not go with.
func (f runFlags) checkSeeds(cmd *cobra.Command) error {
	switch {
	case f.seeds < 1 || f.seeds > maxSeeds:
		return usage.Errorf("--seeds %d: want 1 to %d", f.seeds, maxSeeds)
	case cmd.Flags().Changed("seed"):
		return usage.Errorf("--seed and --seeds are two ways to name seeds: give one")
	case f.submitted != nil || f.back() || f.out != "":
		return usage.Errorf("--seeds runs the lab's own program and keeps no files: leave out --submission, --out, --at and --rewind")
	case !slices.Contains(report.SeedsFormats(), f.format):
		return usage.Unknown("format of --seeds", f.format, report.SeedsFormats(), "use text or json")
	}
	return nil
}

// formatFlag adds --format.
func formatFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "format", "text", "output: "+strings.Join(report.Formats(), ", "))
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(report.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

func checkFormat(format string) error {
	if err := report.CheckFormat(format); err != nil {
		return usage.Wrap(err)
	}
	return nil
}

// run runs the lab on every target. A failure on one does not stop the others.
func (a *app) run(ctx context.Context, l labs.Lab, f runFlags) error {
	p := progress.New(a.stderr)
	defer p.Done()
	a.sweep()
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: f.arch, Names: f.kernels})
	if err == nil {
		err = host.UseVmlinux(targets, f.vmlinux)
	}
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
	results, err := a.runEach(ctx, l, targets, f, p)
	if err != nil {
		return err
	}
	doc := grade.NewDocument(results...)
	if f.out != "" && len(targets) > 1 {
		if err := prepare.WriteVerdict(f.out, doc); err != nil {
			return err
		}
		if f.submitted != nil {
			if err := writeFeedback(f.out, doc, l.Rules(targets[0].Arch.Name)); err != nil {
				return fmt.Errorf("write the feedback: %w", err)
			}
		}
	}
	a.code = doc.ExitCode()
	if f.format == "text" {
		return nil
	}
	if f.format == report.FormatGradescope {
		return f.show.Write(a.stdout, doc)
	}
	if f.submitted != nil && f.format != report.FormatJSON {
		doc = redact.Shown(doc, grade.Visible)
	}
	return report.Write(a.stdout, f.format, doc, a.style())
}

// runEach runs the lab on all targets, several at a time, and shows each run as
// if it were alone.
func (a *app) runEach(ctx context.Context, l labs.Lab, targets []prepare.Target, f runFlags, p *progress.Log) ([]grade.Result, error) {
	atOnce := f.jobs
	if atOnce == 0 {
		atOnce = harness.Room()
	}
	results := make([]grade.Result, len(targets))
	order := progress.NewTurns(a.stdout, len(targets))
	style := a.style()
	g, ctx := errgroup.WithContext(ctx) // an error means that nothing can be written
	g.SetLimit(atOnce)
	for i, t := range targets {
		g.Go(func() error {
			one, f := *a, f // a run's own
			one.stdout, one.stderr, one.styled = order.Writer(i), p, &style
			if len(targets) > 1 {
				f.who = t.Name() + ": "
			}
			if i > 0 && f.format == "text" {
				fmt.Fprintln(one.stdout)
			}
			var err error
			results[i], err = one.runKept(ctx, l, t, f, len(targets), p)
			return errors.Join(err, order.End(i))
		})
	}
	return results, g.Wait()
}

// ungraded gives a program that reads the document one for a run that could not
// begin. A mistake of usage has none.
func (a *app) ungraded(l labs.Lab, format string, err error) error {
	if format == report.FormatText || usage.Is(err) || errors.Is(err, context.Canceled) {
		return nil
	}
	result := grade.Failure(l.Rules(arch.Names()[0]), "", err)
	result.Arch = "" // not known: the checks are the same on each
	return report.Write(a.stdout, format, grade.NewDocument(result), a.style())
}

// runKept runs the lab on one kernel and keeps what the run left: in the folder
// of --out, DIR itself for a single run, or in the cache when it was not graded.
// The error is for a folder that can not be written; that the run could not be
// graded is a result.
func (a *app) runKept(ctx context.Context, l labs.Lab, t prepare.Target, f runFlags, runs int, p *progress.Log) (grade.Result, error) {
	folder, err := a.host(p).Folder(ctx, f.out, runs > 1, l, t.Arch.Name, t.Image.Release)
	if err != nil {
		return grade.Result{}, err
	}
	result, err := a.runOne(ctx, l, t, f, folder.Dir, p)
	t.Image.Keep()
	p.Done()
	if ctx.Err() != nil {
		folder.Close(false)
		return result, ctx.Err()
	}
	if err != nil {
		rules := l.Rules(t.Arch.Name)
		if f.submitted != nil {
			rules = harness.Submitted{Submission: f.submitted, Own: harness.Job{Rules: rules}}.Rules()
		}
		result = grade.Failure(rules, t.Image.Release, err)
	}
	if f.out != "" || err != nil { // else the folder is gone in a moment
		if werr := prepare.WriteVerdict(folder.Dir, grade.NewDocument(result)); werr != nil && f.out != "" {
			return result, werr
		}
	}
	if f.submitted != nil && f.out != "" {
		if err := writeFeedback(folder.Dir, grade.NewDocument(result), l.Rules(t.Arch.Name)); err != nil {
			return result, fmt.Errorf("write the feedback: %w", err)
		}
	}
	dir := folder.Close(err != nil)
	if err != nil {
		a.explain(fmt.Errorf("%s on %s (%s) could not be graded: %w", l.Name, t.Image.Release, t.Arch.Name, err))
		if dir != "" {
			fmt.Fprintf(a.stderr, "  what the run left is in %s\n", dir)
		}
	}
	return result, nil
}

// runOne prepares and runs the lab on one kernel.
func (a *app) runOne(ctx context.Context, l labs.Lab, t prepare.Target, f runFlags, dir string, p *progress.Log) (grade.Result, error) {
	say := func(format string, args ...any) { p.Say("%s%s", f.who, fmt.Sprintf(format, args...)) }
	job, err := a.host(p).Job(ctx, l, t, f.Machine)
	if err != nil {
		return grade.Result{}, err
	}
	go job.Rules.Validate() // to have its expressions compiled before a guest waits for them
	job.Out = dir
	job.Machine.Stage = func(what string) { say("%s", what) }
	job.Retry = func(err error) { say("%v; trying once more", err) }
	if f.submitted != nil {
		return a.runSubmitted(ctx, f, job, p)
	}
	if f.format != "text" {
		out, err := harness.Run(ctx, job)
		if err != nil {
			return grade.Result{}, err
		}
		return out.Result, nil
	}
	var written error // standard output may be gone: the run ends all the same
	show := func(err error) { written = errors.Join(written, err) }
	live := report.NewLive(a.stdout, job.Rules, a.style())
	if f.verbose {
		live.Verbose()
	}
	job.Began = func(h trace.Header, m *machine.Machine) {
		if m.Restored > 0 {
			say("started from a snapshot in %.2f s", m.Restored.Seconds())
		} else {
			say("booted in %.1f s", m.Boot.Seconds())
		}
		show(live.Kernel(h))
	}
	job.Event = func(e trace.Event) {
		show(live.Event(e))
		if f.verbose && e.Aside != "" {
			say("aside: %s by %d[%s]: %s", e.Point, e.Task.PID, e.Task.Comm, e.Aside)
		}
	}
	out, err := harness.Run(ctx, job)
	if err != nil {
		return grade.Result{}, err
	}
	show(live.Result(out.Result))
	if written != nil {
		return out.Result, fmt.Errorf("write the report: %w", written)
	}
	if f.verbose {
		say("%d exchanges with the gdbstub, %.2f s from the program's release to its end", out.Trips, out.Times.Drive.Seconds())
	}
	if f.back() {
		if err := a.goBack(ctx, l, t, f, out.Trace, p); err != nil {
			a.explain(fmt.Errorf("go back in %s: %w", l.Name, err)) // the verdict stands
		}
	}
	return out.Result, nil
}
