package main

import (
	"context"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/harness/submission"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
)

// runFlags are the flags of lab run.
type runFlags struct {
	session.Session
	seeds  int    // run with so many seeds instead of one
	whatIf string // a variation to compare with
	taskFlags
	submission string // path of what a student handed in
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := oneLab(&cobra.Command{
		Use:   "run LAB",
		Short: "Run a lab on real kernels and grade what was seen",
		Long: `run starts a kernel in QEMU, runs the lab's program in it, stops at the lab's
points and grades what was seen. It prints the lab's question, the verdict, a line for
each step and a line for each check.

-v adds the values, the backtrace and the stacks of every step, and --step those of
one. Without --arch the lab runs on every architecture, and the runs of all but the
first have a line each.

A kernel is booted once: later runs start from a snapshot of the booted guest,
which the cache keeps. --cold boots it.

The guest's time passes with its instructions, so a run repeats exactly: the same
kernel, program, QEMU and --seed give the same trace, on any host, unless --cpus asks
for more than one processor. --timeout is of that time too: how slow the host is has
no part in it.

A kernel is a series (6.12: the newest packaged build), an exact version
(6.12.107) or the path of an image file; what is not in the cache is fetched.

With --submission the student's program takes the place of the lab's, and the
answers are graded; lab init begins a submission. Its task is the one that its
student.yaml records, or that of --student.

--what-if runs the lab as it is and in a variation that the lab declares, such as a
program that ignores SIGCHLD, and shows what is different. It grades neither: the exit
code is 0 when both runs were made.`,
		Example: "  lab run fork-new\n  lab run fork-new --arch riscv64 --kernel 7.2\n  lab run fork-new --kernel ./bzImage --format json\n  lab run fork-new --arch x86_64 --rewind 2",
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			asked, err := f.asked()
			if err != nil {
				return err
			}
			if f.submission == "" {
				f.Lab, err = asked.Task(lab)
			} else {
				f.Lab, f.Submission, err = prepare.SubmissionOf(cmd.Context(), lab, f.submission, asked)
			}
			if err != nil {
				return err
			}
			f.EveryArch = cmd.Flags().Changed("arch")
			if err := f.Check(); err != nil {
				return err
			}
			if f.Identity, err = identity(f.Format); err != nil {
				return err
			}
			if f.whatIf != "" {
				return a.runWhatIf(cmd.Context(), f)
			}
			if f.seeds > 0 {
				return a.runSeeds(cmd, f)
			}
			return a.run(cmd.Context(), f.Session)
		},
	})
	fl := cmd.Flags()
	a.kernelFlags(cmd, &f.Kernels, "")
	machineFlags(cmd, &f.Machine)
	vmlinuxFlag(cmd, &f.Kernels.Vmlinux)
	formatFlag(cmd, &f.Format, report.Formats())
	gradescopeFlags(cmd, &f.Show)
	f.studentFlag(cmd, "run, or grade by, the task of the student with this ID (default: what the submission records)")
	f.secretFlag(cmd)
	fl.Var(flags.Text(&f.Out, "", flags.OutFolder), "out", "folder for the trace, console, verdict, QEMU command line and times of each run")
	textFlag(cmd, &f.At, "at", "when the run is over, stop in it again at this point and show all there is")
	fl.Var(flags.Text(&f.submission, "", submission.CheckPath), "submission", "grade what a student handed in: a folder or an archive with prog.go or prog.c and answers.yaml")
	jobsFlag(cmd, &f.AtOnce, "runs, where several kernels are named,")
	fl.Var(flags.Number(&f.seeds, 0, 1, matrix.MaxSeeds), "seeds", "run with the seeds 1 to `N` and show what varied")
	textFlag(cmd, &f.whatIf, "what-if", "also run this variation of the lab, and show what is different: lab show LAB lists them")
	fl.Var(flags.Number(&f.Rewind, 0, 1, math.MaxInt32), "rewind", "the same at the stop that is `N` from the end: 1 is the last")
	fl.BoolVarP(&f.Verbose, "verbose", "v", false, "show every step in detail, the stops that are no step, and what the run cost")
	stepFlag(cmd, &f.Steps)
	return cmd
}

// stepFlag adds --step.
func stepFlag(cmd *cobra.Command, steps *[]string) {
	cmd.Flags().StringArrayVar(steps, "step", nil, "show the steps at this `POINT` in detail: values, backtrace and stacks; may be repeated")
}

// run runs the lab on every kernel. A failure on one does not stop the others.
func (a *app) run(ctx context.Context, s session.Session) (err error) {
	if s.Host, err = a.hold(ctx); err != nil {
		return err
	}
	s.Style = report.Terminal(a.stdout)
	doc, err := s.Run(ctx, a.stdout)
	if err != nil {
		return err
	}
	a.code = doc.ExitCode()
	return nil
}

// runSeeds runs the lab with several seeds on every kernel and prints what varied.
func (a *app) runSeeds(cmd *cobra.Command, f runFlags) error {
	switch {
	case cmd.Flags().Changed("seed"):
		return usage.Errorf("--seed and --seeds are two ways to name seeds: give one")
	case f.Submission != nil || f.At != "" || f.Rewind > 0 || f.Out != "":
		return usage.Errorf("--seeds runs the lab's own program and keeps no files: leave out --submission, --out, --at and --rewind")
	case !slices.Contains(report.SeedsFormats(), f.Format):
		return usage.Unknown("format of --seeds", f.Format, report.SeedsFormats(), "use text or json")
	}
	host, err := a.hold(cmd.Context())
	if err != nil {
		return err
	}
	all, doc, err := matrix.Seeds{Host: host, Machine: f.Machine, N: f.seeds, AtOnce: f.AtOnce}.Run(cmd.Context(), f.Lab, f.Kernels)
	if err != nil {
		return err
	}
	a.code = doc.ExitCode()
	return report.WriteSeeds(a.stdout, f.Format, all)
}
