package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/recording"
	"kernellab/harness/session"
	"kernellab/harness/walk"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

func (a *app) stepCommand() *cobra.Command {
	var s session.Session
	var grading recording.Grading
	cmd := &cobra.Command{
		Use:   "step LAB|TRACE",
		Short: "Step through a run in the terminal, stop by stop",
		Long: `step shows a run stop by stop: the path of the tasks, what was seen of the task,
its stack, and where the stop is in the source. Enter goes to the next stop, b to the one
before, g and G to the first and the last, and q quits.

A recorded run, which is a trace or a folder of lab run --out, needs no QEMU. A lab is run
first. In a pipe, all stops are printed one after another. The exit code is 0 when there
are stops to show, whatever the verdict.`,
		Example: "  lab step fork-new --arch riscv64\n  lab step out\n  lab step out/trace.jsonl | less",
		Args:    commands.Takes(1, 1, "a lab, a trace or a folder of a run"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			path := args[0]
			grading.Warn = func(err error) { a.progress.Say("%v, and is left out", err) }
			if walk.Recorded(path) {
				return walk.Step(cmd.Context(), grading, path, a.stdin, a.stdout)
			}
			if s.Lab, err = prepare.Lab(path); err != nil {
				return err
			}
			if s.Host, err = a.hold(cmd.Context()); err != nil {
				return err
			}
			return walk.StepLab(cmd.Context(), s, path, a.stdin, a.stdout)
		},
	}
	cmd.ValidArgsFunction = commands.Completion(commands.Words(labNames))
	a.kernelFlag(cmd, &s.Kernels)
	machineFlags(cmd, &s.Machine)
	vmlinuxFlag(cmd, &s.Kernels.Vmlinux)
	cmd.Flags().Var(flags.Text(&grading.Lab, "", flags.InFolder), "lab", "folder of the lab that the trace is of, where it is none of the course")
	cmd.MarkFlagDirname("lab")
	return cmd
}
