package main

import (
	"context"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/why"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/labs"
)

func (a *app) whyCommand() *cobra.Command {
	var q why.Question
	var k prepare.Kernels
	var format string
	cmd := ofLab(&cobra.Command{
		Use:   "why LAB EXPR",
		Short: "Find out who wrote a value that is in memory at a stop of a lab",
		Long: `why runs a lab to a point, reads a value there, and runs the lab again with
watchpoints on the memory that the value is in. It shows the last write before the stop
and those before it: the instruction, the task, the values before and after, the stack,
and how much of the guest's time passed from it to the stop, at most. Where a write was
a copy, it goes on with the memory that was copied.

EXPR is an expression as in the "reads" of a lab.yaml, such as arg.p.thread.sp, or an
address in the kernel's memory: ADDRESS or ADDRESS:SIZE, in bytes.

Each write stops the guest, which moves its clock on by up to a millisecond, so timer
interrupts may come elsewhere than in an ordinary run. why checks that the watched run
comes to the same stop with the same value in the same memory. A watchpoint sees what
instructions write at that address: not writes to the same memory at another address,
such as the kernel's direct map, nor those of devices. why says so when the memory has
changed unseen.`,
		Example: "  lab why fork-new --at wake_up_new_task arg.p.thread.sp\n  lab why fork-new --at ret_from_fork current.user.ret --arch riscv64 --depth 5",
	}, func(ctx context.Context, l labs.Lab, args []string) error {
		q.Lab, q.What = l, args[1]
		if err := q.Check(args[0], k.Arch); err != nil {
			return err
		}
		host, targets, err := a.open(ctx, k)
		if err != nil {
			return err
		}
		defer targets[0].Image.SaveQueries()
		q.Host, q.Target = host, targets[0]
		doc, err := why.Ask(ctx, q)
		a.progress.Done()
		if err != nil {
			return err
		}
		return a.write(format, doc, doc.Write)
	})
	cmd.Args = commands.Takes(2, 2, "a lab and an expression: lab why fork-new --at wake_up_new_task arg.p.pid")
	a.kernelFlag(cmd, &k)
	machineFlags(cmd, &q.Machine)
	vmlinuxFlag(cmd, &k.Vmlinux)
	textFlag(cmd, &q.Point, "at", "the stop: the first one at this point of the lab")
	cmd.RegisterFlagCompletionFunc("at", points(&k.Arch, func(args []string) string { return strings.Join(args[:min(1, len(args))], "") }))
	cmd.Flags().Var(flags.Number(&q.Depth, why.DefaultDepth, 1, math.MaxInt32), "depth", "how many writes to show")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}
