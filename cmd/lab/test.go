package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/matrix"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/selftest"
	"kernellab/internal/flags"
	"kernellab/labs"
)

// testFlags are the flags of lab test.
type testFlags struct {
	prepare.Kernels
	format string
	seeds  int
	jobs   int
}

func (a *app) testCommand() *cobra.Command {
	var f testFlags
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
			l, err := prepare.Lab(args[0])
			var broken *labs.Error
			if errors.As(err, &broken) && strings.Contains(args[0], "/") && !broken.None() {
				return a.testReport(selftest.Broken(filepath.Base(args[0]), err), f.format, false)
			}
			if err != nil {
				return err
			}
			return a.test(cmd.Context(), l, f)
		},
	})
	a.kernelFlags(cmd, &f.Kernels, "")
	cmd.Flags().Var(flags.Number(&f.seeds, 1, 1, matrix.MaxSeeds), "seeds", "run the lab's own program with the seeds 1 to `N`")
	jobsFlag(cmd, &f.jobs, "runs")
	formatFlag(cmd, &f.format, textOrJSON)
	return cmd
}

func (a *app) test(ctx context.Context, l labs.Lab, f testFlags) error {
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	targets, err := host.Open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	t := selftest.Test{Lab: l, Seeds: f.seeds, Tasks: true, AtOnce: f.jobs}
	for _, target := range targets {
		t.Kernels = append(t.Kernels, selftest.On(host, target, prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1}))
	}
	text := f.format == report.FormatText
	if text {
		t.Done = func(l selftest.Line) { fmt.Fprint(a.stdout, l.Text()) }
	}
	out, err := t.Run(ctx)
	if err != nil {
		return err
	}
	return a.testReport(out, f.format, text)
}

// testReport writes a report, whose lines may have been written before.
func (a *app) testReport(r selftest.Report, format string, written bool) error {
	a.code = r.ExitCode()
	if format == report.FormatJSON {
		return r.Encode(a.stdout)
	}
	for _, l := range r.Tests {
		if !written {
			fmt.Fprint(a.stdout, l.Text())
		}
	}
	_, err := fmt.Fprintln(a.stdout, r.Summary())
	return err
}
