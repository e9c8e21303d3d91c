package main

import (
	"context"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/harness/submission"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// runFlags are the flags of lab run.
type runFlags struct {
	session.Session
	taskFlags
	submission string // path of what a student handed in
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	var cmd *cobra.Command
	cmd = ofLab(&cobra.Command{
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
	}, func(ctx context.Context, l labs.Lab, _ []string) error {
		asked, err := f.asked()
		if err != nil {
			return err
		}
		if f.Lab, f.Submission, err = prepare.SubmissionOf(ctx, l, f.submission, asked); err != nil {
			return err
		}
		f.EveryArch = cmd.Flags().Changed("arch")
		if f.Seeds > 0 && cmd.Flags().Changed("seed") {
			return usage.Errorf("--seed and --seeds are two ways to name seeds: give one")
		}
		if err := f.Check(); err != nil {
			return err
		}
		if f.Identity, err = report.Identify(f.Format, os.Getenv, time.Now()); err != nil {
			return err
		}
		if f.Host, err = a.hold(ctx); err != nil {
			return err
		}
		f.Style = report.Terminal(a.stdout)
		a.code, err = f.Execute(ctx, a.stdout)
		return err
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
	fl.Var(flags.Number(&f.Seeds, 0, 1, matrix.MaxSeeds), "seeds", "run with the seeds 1 to `N` and show what varied")
	textFlag(cmd, &f.WhatIf, "what-if", "also run this variation of the lab, and show what is different: lab show LAB lists them")
	fl.Var(flags.Number(&f.Rewind, 0, 1, math.MaxInt32), "rewind", "the same at the stop that is `N` from the end: 1 is the last")
	fl.BoolVarP(&f.Verbose, "verbose", "v", false, "show every step in detail, the stops that are no step, and what the run cost")
	stepFlag(cmd, &f.Steps)
	return cmd
}
