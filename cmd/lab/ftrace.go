package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/report"
	"kernellab/harness/session"
	"kernellab/harness/submission"
	"kernellab/internal/console"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// ftraceFlags are the flags of lab ftrace.
type ftraceFlags struct {
	session.Session
	script string // a file, or the folder of a submission
	goOn   bool
}

func (a *app) ftraceCommand() *cobra.Command {
	var f ftraceFlags
	cmd := ofLab(&cobra.Command{
		Use:   "ftrace LAB",
		Short: "Trace a lab's program with the kernel's own tracer, by hand or by a script",
		Long: `ftrace opens the shell of a guest in whose folder /sys/kernel/tracing the kernel's
tracer, ftrace, is to be set up; the lab's program is a command there. Ctrl-A x leaves.
Write names to set_ftrace_filter before a tracer to current_tracer: with every function
traced the guest does not answer any more.

With --script it runs the lines of a script instead, one by one, and reads from the
kernel after each what it has changed. A line that fails is named, with what would have
been right on this kernel, and ftrace asks whether to go on; where it cannot ask, it
stops there, or goes on with --keep-going. When the script runs the lab's program, lab's
breakpoints are set too, and in the end ftrace's record is put beside the stops.

A script has the commands echo WORDS > FILE (or >>), cat FILE, cd, set -e, and the
program, which has the lab's name. The files are those of ftrace.

The exit code is 0 if all lines did what they say, the program ran, and no record
contradicts a stop; else it is 1.`,
		Example: "  lab ftrace fork-new\n  lab ftrace fork-new --script trace.sh --arch riscv64",
	}, func(ctx context.Context, l labs.Lab, _ []string) error {
		f.Lab = l
		if f.script != "" {
			return a.ftrace(ctx, f)
		}
		if f.goOn || f.Out != "" {
			return usage.Errorf("--keep-going and --out are for a script: name it with --script")
		}
		a.progress.Say("in the guest: first set_ftrace_filter, then current_tracer; the guest hangs with every function traced")
		if l.Outside() {
			return a.shell(ctx, f.Kernels, l)
		}
		return a.shell(ctx, f.Kernels)
	})
	a.kernelFlag(cmd, &f.Kernels)
	machineFlags(cmd, &f.Machine)
	fl := cmd.Flags()
	fl.Var(flags.Text(&f.script, ""), "script", "run the lines of this script, or of the "+submission.ScriptFile+" in this folder")
	fl.BoolVar(&f.goOn, "keep-going", false, "go on after a line that failed, without asking")
	fl.Var(flags.Text(&f.Out, "", flags.OutFolder), "out", "folder for the trace, with ftrace's record, and the console of the run")
	return cmd
}

// ftrace runs a script.
func (a *app) ftrace(ctx context.Context, f ftraceFlags) error {
	source, err := submission.ReadScript(f.script)
	if err != nil {
		return usage.Wrap(err)
	}
	if f.Host, err = a.hold(ctx); err != nil {
		return err
	}
	f.Style = report.Terminal(a.stdout)
	ok, err := f.Ftrace(ctx, a.stdout, source, func() bool {
		return f.goOn || console.Confirm(a.stdin, a.stderr, "Go on after this line?")
	})
	if errors.Is(err, session.ErrStopped) {
		fmt.Fprintln(a.stderr, "The script was ended at the line that failed; --keep-going goes on.")
		ok, err = false, nil
	}
	if err == nil && !ok {
		a.code = exitFail
	}
	return err
}
