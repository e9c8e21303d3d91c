package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

// matrixFlags are the flags of lab matrix.
type matrixFlags struct {
	matrix.Matrix
	kernels prepare.Kernels
	format  string
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
			if err := f.Check(); err != nil {
				return err
			}
			chosen, err := prepare.Labs(args)
			if err != nil {
				return err
			}
			if f.Host, err = a.hold(cmd.Context()); err != nil {
				return err
			}
			m, err := f.Run(cmd.Context(), a.stderr, chosen, f.kernels)
			if err != nil {
				return err
			}
			a.code = m.ExitCode()
			return report.WriteMatrix(a.stdout, f.format, m, report.Terminal(a.stdout))
		},
		ValidArgsFunction: commands.Words(labNames),
	}
	a.kernelFlags(cmd, &f.kernels, " (default: all in the cache)")
	machineFlags(cmd, &f.Machine)
	formatFlag(cmd, &f.format, report.MatrixFormats())
	cmd.Flags().Var(flags.Text(&f.Out, "", flags.OutFolder), "out", "folder for the traces, consoles, verdicts, QEMU command lines and times, a folder a run")
	jobsFlag(cmd, &f.AtOnce, "runs")
	cmd.Flags().Var(flags.Text(&f.Baseline, "", flags.OutFile), "baseline", "file to compare with")
	cmd.Flags().BoolVar(&f.Update, "update-baseline", false, "record what each kernel showed in the file of --baseline")
	cmd.Flags().BoolVar(&f.Strict, "strict", false, "let no change from the baseline pass, renames included")
	return cmd
}
