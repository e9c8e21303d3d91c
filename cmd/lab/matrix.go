package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness"
	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/regress"
	"kernellab/harness/report"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

// matrixFlags are the flags of lab matrix.
type matrixFlags struct {
	arch    string
	kernels []string
	format  string
	out     string
	jobs    int
	machineFlags
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
			if err := f.machineFlags.check(cmd); err != nil {
				return err
			}
			return a.matrix(cmd.Context(), args, f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return labNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	archFlag(cmd, &f.arch, "all")
	fl := cmd.Flags()
	fl.StringArrayVar(&f.kernels, "kernel", nil, "kernel: series, version or image file; may be repeated (default: all in the cache)")
	fl.StringVar(&f.format, "format", "text", "output: "+strings.Join(report.MatrixFormats(), ", "))
	fl.StringVar(&f.out, "out", "", "folder for the traces, consoles, verdicts, QEMU command lines and times, a folder a run")
	f.machineFlags.add(cmd)
	fl.IntVar(&f.jobs, "jobs", 0, "runs at a time (default: as many as processors and memory allow)")
	fl.StringVar(&f.baseline, "baseline", "", "file to compare with")
	fl.BoolVar(&f.update, "update-baseline", false, "record what each kernel showed in the file of --baseline")
	fl.BoolVar(&f.strict, "strict", false, "let no change from the baseline pass, renames included")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(report.MatrixFormats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check refuses flags that do not go together.
func (f matrixFlags) check() error {
	switch {
	case f.jobs < 0:
		return usage.Errorf("--jobs %d: want 1 or more, or 0 for as many as processors and memory allow", f.jobs)
	case f.update && f.baseline == "":
		return usage.Errorf("--update-baseline records into the file of --baseline: name one, such as --baseline labs/baseline.json")
	case f.strict && f.baseline == "":
		return usage.Errorf("--strict is about changes from a baseline: name it with --baseline FILE")
	}
	if err := report.CheckMatrixFormat(f.format); err != nil {
		return usage.Wrap(err)
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
	runs, err := all.Plan(ctx, chosen, prepare.Kernels{Arch: f.arch, Names: f.kernels})
	if err != nil {
		return err
	}
	b = progress.NewBoard(a.stderr, len(runs))
	finished, err := all.Run(ctx, runs)
	b.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.explainMatrix(runs, err)
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
	return report.WriteMatrix(a.stdout, f.format, m, a.style())
}

// explainMatrix prints all that could not be graded, together, with the end of
// each guest's console.
func (a *app) explainMatrix(runs []*matrix.Run, err error) {
	var several interface{ WrappedErrors() []error }
	if !errors.As(err, &several) {
		return
	}
	for _, e := range several.WrappedErrors() {
		explain(a.stderr, fmt.Errorf("could not be graded: %w", e))
	}
	for _, r := range runs {
		if r.Kept != "" {
			fmt.Fprintf(a.stderr, "lab: what %s left is in %s\n", r.Name(), r.Kept)
		}
	}
}
