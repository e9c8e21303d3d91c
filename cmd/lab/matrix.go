package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness"
	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/regress"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

// matrixFlags are the flags of lab matrix.
type matrixFlags struct {
	prepare.Kernels
	prepare.Machine
	format   string
	out      string
	jobs     int
	baseline string
	update   bool
	strict   bool
}

func (a *app) matrixCommand() *cobra.Command {
	var f matrixFlags
	cmd := &cobra.Command{
		Use:   "matrix [LAB…]",
		Short: "Run labs over many kernels and tell what changed",
		Long: `matrix runs labs × kernels × architectures, several at a time. One that fails or
does not boot stops none of the others.

Without LAB it runs the whole course; without --kernel, on every kernel in the
cache. A kernel is a series (6.12), a version (6.12.107), one with a flavour
(7.2-rt) or the path of an image file; what is not in the cache is fetched.

--baseline compares with what was recorded before: verdicts, symbols, order,
hits, arguments, members of structures and the child's stack. A kernel that is
not in the baseline is compared with the newest older one of its architecture.

Exit codes: 0 all passed · 1 one failed · 2 wrong usage · 3 one could not be
graded. With --baseline, a failure that is recorded there does not count, and
with --strict every change does.`,
		Example: "  lab matrix --kernel 6.1 --kernel 6.12 --kernel 7.2\n" +
			"  lab matrix fork-new --baseline labs/baseline.json --format markdown\n" +
			"  lab matrix --baseline labs/baseline.json --update-baseline",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.matrix(cmd.Context(), args, f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return labNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	a.kernelFlags(cmd, &f.Kernels, " (default: all in the cache)")
	machineFlags(cmd, &f.Machine)
	formatFlag(cmd, &f.format, report.MatrixFormats())
	cmd.Flags().Var(flags.Text(&f.out, "", flags.OutFolder), "out", "folder for the traces, consoles, verdicts, QEMU command lines and times, a folder a run")
	jobsFlag(cmd, &f.jobs, "runs")
	cmd.Flags().Var(flags.Text(&f.baseline, "", flags.OutFile), "baseline", "file to compare with")
	cmd.Flags().BoolVar(&f.update, "update-baseline", false, "record what each kernel showed in the file of --baseline")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "let no change from the baseline pass, renames included")
	return cmd
}

// check refuses flags that do not go together.
func (f matrixFlags) check() error {
	switch {
	case f.update && f.baseline == "":
		return usage.Errorf("--update-baseline records into the file of --baseline: name one, such as --baseline labs/baseline.json")
	case f.strict && f.baseline == "":
		return usage.Errorf("--strict is about changes from a baseline: name it with --baseline FILE")
	}
	return nil
}

// matrix plans the runs, runs them, compares and reports.
func (a *app) matrix(ctx context.Context, names []string, f matrixFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	chosen, err := prepare.Labs(names)
	if err != nil {
		return err
	}
	var base regress.Baseline
	if f.baseline != "" {
		if base, err = matrix.ReadBaseline(f.baseline, f.update); err != nil {
			return err
		}
	}
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	var b *progress.Board
	all := matrix.Matrix{
		Host: a.host(p), Machine: f.Machine, Out: f.out, AtOnce: f.jobs,
		Stage: func(i int, r *matrix.Run, what string) { b.Stage(i, r.Name(), what) },
		Done:  func(i int, r *matrix.Run, done harness.Finished) { b.End(i, r.Name(), matrix.Ending(done)) },
		Warn:  func(err error) { b.Say("%v", err) },
	}
	runs, err := all.Plan(ctx, chosen, f.Kernels)
	if err != nil {
		return err
	}
	b = progress.NewBoard(a.stderr, len(runs))
	finished, _ := all.Run(ctx, runs) // the error has those of finished
	b.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, r := range runs {
		if finished[i].Err == nil {
			continue
		}
		a.explain(a.stderr, fmt.Errorf("could not be graded: %s: %w", r.Name(), finished[i].Err))
		if r.Kept != "" {
			fmt.Fprintf(a.stderr, "  what the run left is in %s\n", r.Kept)
		}
	}
	m, entries := matrix.Compare(base, finished, f.strict, f.baseline != "" && (!f.update || len(base.Entries) > 0))
	if f.update {
		for _, e := range base.Update(entries...) {
			fmt.Fprintf(a.stderr, "lab: not recorded: %s on %s %s, which could not be graded\n", e.Lab, e.Kernel, e.Arch)
		}
		if err := matrix.WriteBaseline(f.baseline, base); err != nil {
			return err
		}
	}
	if err := matrix.Write(f.out, m); err != nil {
		return err
	}
	a.code = m.ExitCode()
	return report.WriteMatrix(a.stdout, f.format, m, report.Terminal(a.stdout))
}
