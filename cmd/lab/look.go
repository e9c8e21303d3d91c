package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/labs"
)

// lookFlags are the flags of the commands that look into a stopped guest.
type lookFlags struct {
	prepare.Kernels
	prepare.Machine
	lab, at string
	format  string
	threads bool
}

// look reads what a command shows of a stopped guest.
type look func(ctx context.Context, s *inspect.Stop) (inspect.Document, error)

func (a *app) lookCommands() []*cobra.Command {
	tasks := func(tree bool) func(inspect.Selection, *lookFlags) look {
		return func(_ inspect.Selection, f *lookFlags) look {
			return func(ctx context.Context, s *inspect.Stop) (inspect.Document, error) {
				doc, err := s.Tasks(ctx, f.threads)
				doc.Tree = tree
				return doc, err
			}
		}
	}
	return []*cobra.Command{
		a.lookCommand(&cobra.Command{Use: "ps", Short: "List the tasks of a stopped guest", Args: noArgs}, tasks(false)),
		a.lookCommand(&cobra.Command{Use: "tree", Short: "Show the tasks of a stopped guest under their parents", Args: noArgs}, tasks(true)),
		a.lookCommand(&cobra.Command{
			Use: "task [PID|current]", Short: "Show all that the kernel knows of one task", Args: cobra.MaximumNArgs(1),
		}, func(which inspect.Selection, _ *lookFlags) look {
			return func(ctx context.Context, s *inspect.Stop) (inspect.Document, error) { return s.Task(ctx, which) }
		}),
		a.lookCommand(&cobra.Command{
			Use: "stack [PID|current]", Short: "Unwind the kernel stack of one task", Args: cobra.MaximumNArgs(1),
		}, func(which inspect.Selection, _ *lookFlags) look {
			return func(ctx context.Context, s *inspect.Stop) (inspect.Document, error) { return s.Stack(ctx, which) }
		}),
	}
}

func (a *app) lookCommand(cmd *cobra.Command, reads func(inspect.Selection, *lookFlags) look) *cobra.Command {
	f := &lookFlags{}
	name := cmd.Name()
	cmd.Long = cmd.Short + `.

The guest is stopped where it is ready for a lab, or with --lab and --at at a
point of a lab: then the running task is the lab's own.`
	cmd.Example = fmt.Sprintf("  lab %s\n  lab %s --lab fork-new --at copy_thread --arch riscv64", name, name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var which inspect.Selection
		if len(args) > 0 {
			var err error
			if which, err = inspect.Select(args[0]); err != nil {
				return err
			}
		}
		return a.look(cmd.Context(), *f, reads(which, f))
	}
	a.kernelFlag(cmd, &f.Kernels)
	machineFlags(cmd, &f.Machine)
	vmlinuxFlag(cmd, &f.Vmlinux)
	textFlag(cmd, &f.lab, "lab", "stop in a run of this lab")
	textFlag(cmd, &f.at, "at", "stop at this point of the lab (default its first)")
	formatFlag(cmd, &f.format, textOrJSON)
	if name == "ps" || name == "tree" {
		cmd.Flags().BoolVarP(&f.threads, "threads", "t", name == "tree", "threads too")
	}
	cmd.RegisterFlagCompletionFunc("lab", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return labNames(), cobra.ShellCompDirectiveNoFileComp
	})
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
func (a *app) look(ctx context.Context, f lookFlags, read look) error {
	place, err := inspect.PlaceAt(f.lab, f.at, f.Arch)
	if err != nil {
		return err
	}
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	targets, err := host.Open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	defer targets[0].Image.SaveQueries()
	return inspect.Guest(ctx, host, targets[0], f.Machine, place, func(ctx context.Context, s *inspect.Stop) error {
		a.progress.Done()
		doc, err := read(ctx, s)
		if err != nil {
			return err
		}
		if f.format == report.FormatJSON {
			return a.json(doc)
		}
		return doc.Write(a.stdout)
	})
}
