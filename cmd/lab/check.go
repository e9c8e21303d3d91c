package main

import (
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

func (a *app) checkCommand() *cobra.Command {
	g := recording.Grading{Warn: func(err error) { a.progress.Say("%v, and is left out", err) }}
	var verbose bool
	var steps []string // points that are shown in detail
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
		Args:    commands.Takes(1, math.MaxInt, "the traces to grade: lab check DIR/trace.jsonl"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if g.Identity, err = report.Identify(g.Format, os.Getenv, time.Now()); err != nil {
				return err
			}
			g.Style = report.Terminal(a.stdout)
			g.Style.Verbose, g.Style.Steps = verbose, steps
			doc, err := g.Report(cmd.Context(), a.stdout, args)
			a.code = doc.ExitCode()
			return err
		},
	}
	formatFlag(cmd, &g.Format, report.Formats())
	labFolderFlag(cmd, &g.Lab)
	cmd.Flags().Var(flags.Text(&g.Submission, "", submission.CheckPath), "submission", "take the answers from what a student handed in: a folder or an archive")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show every step in detail")
	stepFlag(cmd, &steps)
	return cmd
}
