package main

import (
	"math"

	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/submission"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

func (a *app) verifyCommand() *cobra.Command {
	var x recording.Execution
	var format string
	cmd := &cobra.Command{
		Use:   "verify FOLDER|TRACE…",
		Short: "Execute recorded runs again and compare them to the byte",
		Long: `verify executes the run of each trace again, on the machine that the trace's header
describes, and compares what it gives with what was recorded. A folder stands for
every trace.jsonl in it.

A trace is the same, or it differs: then the first event and field that do are
shown. It cannot be executed here when something is missing that it depends on:
the kernel, the version of QEMU, the program. --submission names what a student
handed in, whose program is compiled again.

Exit codes: 0 all are the same · 1 one differs · 2 wrong usage · 3 one cannot be
executed here`,
		Example: "  lab verify out\n  lab verify graded/alice --submission handed-in/alice",
		Args:    commands.Takes(1, math.MaxInt, "the traces to execute again: lab verify DIR"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if x.Host, err = a.hold(cmd.Context()); err != nil {
				return err
			}
			a.code, err = x.Report(cmd.Context(), a.stdout, format, args)
			return err
		},
	}
	labFolderFlag(cmd, &x.Lab)
	textFlag(cmd, &x.Kernel, "kernel", "image file of the kernel, where it is in no suite of Debian's")
	cmd.Flags().Var(flags.Text(&x.Submission, "", submission.CheckPath), "submission", "what the student handed in: a folder or an archive")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}
