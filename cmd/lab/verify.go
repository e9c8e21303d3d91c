package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/submission"
	"kernellab/harness/verdict"
	"kernellab/internal/flags"
	"kernellab/internal/progress"
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
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	x := recording.Execution{Host: a.host(p), Lab: f.lab, Kernel: f.kernel, Submission: f.submission}
	var all []recording.Executed
	var traces []string
	for _, path := range paths { // all of them, before anything is executed
		files, err := recording.Find(path)
		if err != nil {
			return usage.Wrap(err)
		}
		traces = append(traces, files...)
	}
	for _, file := range traces {
		v := x.Execute(ctx, file)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		all = append(all, v)
		p.Done()
		if f.format == "text" {
			a.printVerified(v)
		}
	}
	for _, v := range all {
		switch v.Verdict {
		case recording.Differs:
			a.code = max(a.code, verdict.ExitFail)
		case recording.Unable:
			a.code = exitError
		}
	}
	if f.format == "json" {
		return a.json(map[string]any{"schema": "lab.verify/1", "results": all})
	}
	return nil
}

// printVerified prints what became of one trace.
func (a *app) printVerified(v recording.Executed) {
	fmt.Fprintf(a.stdout, "%s: %s\n", progress.Visible(v.Trace), v.Verdict)
	switch {
	case v.Difference != nil:
		fmt.Fprintf(a.stdout, "  %s\n", progress.Visible(v.Difference.Error()))
	case v.Missing != "":
		fmt.Fprintf(a.stdout, "  %s\n", progress.Visible(v.Missing))
	}
}
