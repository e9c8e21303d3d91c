package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
)

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check TRACE…",
		Short: "Grade recorded traces, without QEMU",
		Long: `check grades traces that lab run and lab grade left in their --out folders, each
named itself or by its folder. The verdict is the one of the run: it depends on
the trace alone, and of a submission on the answers that lie beside it. A trace that
contradicts itself is refused: the error names the event and the field.

--submission takes the answers from what a student handed in instead. The program
is not compiled: the trace is what it did.`,
		Example: "  lab check out/trace.jsonl\n  lab check graded/alice graded/bob\n  lab check graded/alice/trace.jsonl --submission handed-in/alice",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("check takes the traces to grade: lab check DIR/trace.jsonl")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := recording.CheckSteps(f.lab, f.steps); err != nil {
				return err
			}
			if f.submission != "" && len(args) > 1 {
				return usage.Errorf("--submission is what one student handed in: check its trace alone")
			}
			var err error
			if f.identity, err = identity(f.format); err != nil {
				return err
			}
			return a.check(cmd.Context(), args, f)
		},
	}
	formatFlag(cmd, &f.format, report.Formats())
	cmd.Flags().Var(flags.Text(&f.lab, "", flags.InFolder), "lab", "folder of the lab that the traces are of, where it is none of the course")
	cmd.Flags().Var(flags.Text(&f.submission, "", submission.CheckPath), "submission", "take the answers from what a student handed in: a folder or an archive")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show every step in detail")
	stepFlag(cmd, &f.steps)
	cmd.MarkFlagDirname("lab")
	return cmd
}

// checkFlags are the flags of lab check.
type checkFlags struct {
	format, lab, submission string
	verbose                 bool
	steps                   []string // points that are shown in detail
	identity                report.Classroom50
}

// check grades every trace; those that cannot be read are reported together. When one is
// named wrongly, it prints nothing but that.
func (a *app) check(ctx context.Context, paths []string, f checkFlags) error {
	grading := recording.Grading{Lab: f.lab, Submission: f.submission, Warn: func(err error) {
		a.progress.Say("%v, and is left out", err)
	}}
	doc, err := grading.All(ctx, paths, f.format != report.FormatText) // text is for verdicts
	if usage.Is(err) || len(doc.Results) == 0 {
		return err
	}
	a.code = doc.ExitCode()
	if f.format == report.FormatClassroom50 {
		return errors.Join(report.IfGraded(f.identity.Write(a.stdout, doc)), err)
	}
	style := report.Terminal(a.stdout)
	style.Verbose, style.Steps = f.verbose, f.steps
	return errors.Join(report.Write(a.stdout, f.format, doc, style), err)
}
