package main

import (
	"context"

	"github.com/spf13/cobra"

	"kernellab/harness/calls"
	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/labs"
)

// callsFlags are the flags of lab calls.
type callsFlags struct {
	prepare.Kernels
	prepare.Machine
	inspect.Stretch
	view calls.View
}

func (a *app) callsCommand() *cobra.Command {
	var f callsFlags
	cmd := ofLab(&cobra.Command{
		Use:   "calls LAB",
		Short: "Show every function that the kernel ran between two stops of a lab, as a tree of calls",
		Long: `calls runs a lab's own program and shows which function of the kernel called which
between two stops: the instructions of each, its own and with those of what it calls, and
how often it was called. Nothing is sampled and nothing is in the guest: QEMU logs every
block of instructions that it runs, and the run is the one that is graded. The sum of the
tree is QEMU's own count.

Interrupts, exceptions, system calls and tasks are branches of their own. The tree is cut
at --depth; --in shows the calls of one function. A rep instruction counts once for each
round. Inlined functions are part of the function that they are in.`,
		Example: "  lab calls fork-new\n  lab calls fork-new --from sys_clone --to wake_up_new_task --in copy_process --arch riscv64",
	}, func(ctx context.Context, l labs.Lab, _ []string) error {
		f.Lab = l
		return a.calls(ctx, f)
	})
	a.kernelFlag(cmd, &f.Kernels)
	machineFlags(cmd, &f.Machine)
	textFlag(cmd, &f.From, "from", "begin at the first stop at this point (default the lab's first)")
	textFlag(cmd, &f.To, "to", "end at the first stop at this point (default the lab's last step)")
	textFlag(cmd, &f.view.Task, "task", "only this task: a pid, or a role in the lab such as child")
	textFlag(cmd, &f.view.In, "in", "only the calls of this function")
	cmd.Flags().Var(flags.Number(&f.view.Depth, 4, 1, 1000), "depth", "functions below each other that the text shows")
	cmd.Flags().Var(flags.Text(&f.view.Flame, "", flags.OutFile), "flame", "also write a flame graph to this file, an SVG for a browser")
	formatFlag(cmd, &f.view.Format, calls.Formats())
	for _, flag := range []string{"from", "to"} {
		cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if l, err := prepare.Lab(append(args, "")[0]); err == nil {
				return l.PointNames(f.Arch), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		})
	}
	return cmd
}

// calls prints the tree of calls.
func (a *app) calls(ctx context.Context, f callsFlags) error {
	host, targets, err := a.open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	defer targets[0].Image.SaveQueries()
	tree, _, err := inspect.Calls(ctx, host, targets[0], f.Machine, f.Stretch, nil)
	a.progress.Done()
	if err == nil {
		tree, err = f.view.Of(tree)
	}
	if err != nil {
		return err
	}
	f.view.Width = report.Terminal(a.stdout).Width
	return f.view.Write(a.stdout, tree)
}
