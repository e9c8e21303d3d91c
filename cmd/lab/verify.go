package main

import (
	"context"

	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
)

// verifyFlags are the flags of lab verify.
type verifyFlags struct {
	format, lab, kernel, submission string
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("verify takes the traces to execute again: lab verify DIR")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.submission != "" && len(args) > 1 {
				return usage.Errorf("--submission is what one student handed in: verify its trace alone")
			}
			return a.verify(cmd.Context(), args, f)
		},
	}
	cmd.Flags().Var(flags.Text(&f.lab, "", flags.InFolder), "lab", "folder of the lab that the traces are of, where it is none of the course")
	textFlag(cmd, &f.kernel, "kernel", "image file of the kernel, where it is in no suite of Debian's")
	cmd.Flags().Var(flags.Text(&f.submission, "", submission.CheckPath), "submission", "what the student handed in: a folder or an archive")
	cmd.MarkFlagDirname("lab")
	formatFlag(cmd, &f.format, textOrJSON)
	return cmd
}

// verify executes every trace's run again.
func (a *app) verify(ctx context.Context, paths []string, f verifyFlags) error {
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	x := recording.Execution{Host: host, Lab: f.lab, Kernel: f.kernel, Submission: f.submission}
	all, err := x.All(ctx, paths, func(e recording.Executed) error {
		if f.format == report.FormatJSON {
			return nil
		}
		return e.Write(a.stdout)
	})
	if err != nil {
		return err
	}
	a.code = recording.ExitCode(all)
	if f.format == report.FormatJSON {
		return a.json(map[string]any{"schema": "lab.verify/1", "results": all})
	}
	return nil
}
