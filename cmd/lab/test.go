package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/selftest"
	"kernellab/internal/flags"
)

func (a *app) testCommand() *cobra.Command {
	t := selftest.Test{Tasks: true}
	var kernels prepare.Kernels
	var format string
	cmd := oneLab(&cobra.Command{
		Use:   "test LAB",
		Short: "Test a lab before students get it",
		Long: `test checks what the author of a lab wants to know before students get it, and
prints a line for each test:

  - the lab loads;
  - every stop that the handout names exists: names in bold and backquotes, those of
    --at and --step, and links to headings;
  - every wrong choice of a question has its sentence under "wrong";
  - no check gives away the answer to a question;
  - the lab's own program passes, with the seeds 1 to N of --seeds, and in tasks that
    have every value of the lab's variants;
  - each program in testdata/wrong fails, and its findings have the words that
    testdata/wrong/findings.yaml expects;
  - what students read of these runs answers no question.

Exit codes: 0 all tests passed · 1 some failed · 2 wrong usage · 3 some could not be
made.`,
		Example: "  lab test ./my-lab\n  lab test ./my-lab --arch x86_64 --kernel 6.12 --seeds 10",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, broken, err := selftest.Load(args[0])
			if err != nil {
				return err
			}
			if broken != nil {
				a.code = broken.ExitCode()
				return broken.Write(a.stdout, format)
			}
			host, targets, err := a.open(cmd.Context(), kernels)
			if err != nil {
				return err
			}
			t.Lab, t.Kernels = l, selftest.OnAll(host, targets)
			r, err := t.Report(cmd.Context(), a.stdout, format)
			a.code = r.ExitCode()
			return err
		},
	})
	a.kernelFlags(cmd, &kernels, "")
	cmd.Flags().Var(flags.Number(&t.Seeds, 1, 1, matrix.MaxSeeds), "seeds", "run the lab's own program with the seeds 1 to `N`")
	jobsFlag(cmd, &t.AtOnce, "runs")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}
