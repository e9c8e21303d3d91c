package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/labs"
)

// lookFlags are the flags of the commands that look into a stopped guest.
type lookFlags struct {
	prepare.Kernels
	prepare.Machine
	lab, at string
	format  string
	query   inspect.Query
	series  inspect.Sampling
}

func (a *app) lookCommands() []*cobra.Command {
	one := commands.Takes(0, 1, "a pid or current")
	return []*cobra.Command{
		a.lookCommand(&cobra.Command{Use: "ps", Short: "List the tasks of a stopped guest", Args: commands.None}, inspect.List),
		a.lookCommand(&cobra.Command{Use: "tree", Short: "Show the tasks of a stopped guest under their parents", Args: commands.None}, inspect.Tree),
		a.lookCommand(&cobra.Command{Use: "task [PID|current]", Short: "Show all that the kernel knows of one task", Args: one}, inspect.OneTask),
		a.lookCommand(&cobra.Command{Use: "stack [PID|current]", Short: "Unwind the kernel stack of one task", Args: one}, inspect.OneStack),
	}
}

func (a *app) lookCommand(cmd *cobra.Command, read inspect.Reading) *cobra.Command {
	f := &lookFlags{}
	name := cmd.Name()
	cmd.Long = cmd.Short + `.

The guest is stopped where it is ready for a lab, or with --lab and --at at a
point of a lab: then the running task is the lab's own.`
	cmd.Example = fmt.Sprintf("  lab %s\n  lab %s --lab fork-new --at copy_thread --arch riscv64", name, name)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if len(args) > 0 {
			if f.query.Selection, err = inspect.Select(args[0]); err != nil {
				return err
			}
		}
		if cmd.Flags().Changed("every") || cmd.Flags().Changed("count") {
			return a.samples(cmd.Context(), *f)
		}
		return a.look(cmd.Context(), *f, read)
	}
	a.kernelFlag(cmd, &f.Kernels)
	machineFlags(cmd, &f.Machine)
	vmlinuxFlag(cmd, &f.Vmlinux)
	textFlag(cmd, &f.lab, "lab", "stop in a run of this lab")
	textFlag(cmd, &f.at, "at", "stop at this point of the lab (default its first)")
	formatFlag(cmd, &f.format, textOrJSON)
	if name == "task" {
		cmd.Long += `

With --every the guest runs, and stops each time when so much of its own time has passed,
where the kernel counts a second of its clock, in a timer interrupt: the running task is
the one that was interrupted. With --lab the lab's program runs, again as soon as it has
ended; without it the guest is idle, and the idle task runs.`
		cmd.Example += "\n  lab task current --every 1s --count 5 --lab fork-new"
		cmd.Flags().Var(flags.Duration(&f.series.Every), "every", "show the task each time when so much of the guest's time has passed, in whole seconds")
		cmd.Flags().Var(flags.Number(&f.series.Count, 5, 1, inspect.MaxSamples), "count", "how many times to show it, with --every")
	}
	if name == "ps" || name == "tree" {
		cmd.Flags().BoolVarP(&f.query.Threads, "threads", "t", name == "tree", "threads too")
	}
	cmd.RegisterFlagCompletionFunc("lab", commands.Words(labNames))
	cmd.RegisterFlagCompletionFunc("at", points(&f.Arch, func([]string) string { return f.lab }))
	return cmd
}

// points completes by the points of the lab that named returns.
func points(arch *string, named func(args []string) string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		l, err := labs.Get(named(args))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return l.PointNames(*arch), cobra.ShellCompDirectiveNoFileComp
	}
}

// look stops a guest and prints what the command reads there.
func (a *app) look(ctx context.Context, f lookFlags, read inspect.Reading) error {
	place, err := inspect.PlaceAt(f.lab, f.at, f.Arch)
	if err != nil {
		return err
	}
	host, targets, err := a.open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	defer targets[0].Image.SaveQueries()
	return inspect.Guest(ctx, host, targets[0], f.Machine, place, func(ctx context.Context, s *inspect.Stop) error {
		a.progress.Done()
		doc, err := read(ctx, s, f.query)
		if err != nil {
			return err
		}
		return a.write(f.format, doc, doc.Write)
	})
}

// samples prints what the command reads at intervals of a guest's time.
func (a *app) samples(ctx context.Context, f lookFlags) error {
	f.series.Lab, f.series.At, f.series.Which = f.lab, f.at, f.query.Selection
	if err := f.series.Check(); err != nil {
		return err
	}
	host, targets, err := a.open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	defer targets[0].Image.SaveQueries()
	doc, err := inspect.Sample(ctx, host, targets[0], f.Machine, f.series, func(s inspect.Samples) error {
		a.progress.Done()
		if f.format == report.FormatJSON {
			return nil
		}
		return s.WriteLast(a.stdout, f.series.Count)
	})
	if err != nil || f.format != report.FormatJSON {
		return err
	}
	return a.json(doc)
}
