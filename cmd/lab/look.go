package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/internal/commands"
	"kernellab/labs"
)

// lookFlags are the flags of the commands that look into a stopped guest.
type lookFlags struct {
	prepare.Kernels
	prepare.Machine
	lab, at string
	format  string
	query   inspect.Query
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
		return a.look(cmd.Context(), *f, read)
	}
	a.kernelFlag(cmd, &f.Kernels)
	machineFlags(cmd, &f.Machine)
	vmlinuxFlag(cmd, &f.Vmlinux)
	textFlag(cmd, &f.lab, "lab", "stop in a run of this lab")
	textFlag(cmd, &f.at, "at", "stop at this point of the lab (default its first)")
	formatFlag(cmd, &f.format, textOrJSON)
	if name == "ps" || name == "tree" {
		cmd.Flags().BoolVarP(&f.query.Threads, "threads", "t", name == "tree", "threads too")
	}
	cmd.RegisterFlagCompletionFunc("lab", commands.Words(labNames))
	cmd.RegisterFlagCompletionFunc("at", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		l, err := labs.Get(f.lab)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return l.PointNames(f.Arch), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
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
