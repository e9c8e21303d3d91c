package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kernellab/harness/inspect"
	"kernellab/harness/prepare"
	"kernellab/harness/task"
	"kernellab/harness/task/listing"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// lookFlags are the flags of the commands that look into a stopped guest.
type lookFlags struct {
	arch, kernel string
	vmlinux      string
	lab, at      string
	format       string
	threads      bool
	machineFlags
}

// look reads what a command shows of a stopped guest: it returns the JSON document
// and how to write it for a person.
type look func(ctx context.Context, s *inspect.Stop) (doc any, text func() error, err error)

func (a *app) lookCommands() []*cobra.Command {
	ps := a.lookCommand(&cobra.Command{
		Use: "ps", Short: "List the tasks of a stopped guest", Args: noArgs,
	}, func(_ inspect.Selection, f *lookFlags) look { return a.listTasks(f.threads, listing.Table) })
	tree := a.lookCommand(&cobra.Command{
		Use: "tree", Short: "Show the tasks of a stopped guest under their parents", Args: noArgs,
	}, func(_ inspect.Selection, f *lookFlags) look { return a.listTasks(f.threads, listing.Tree) })
	one := a.lookCommand(&cobra.Command{
		Use: "task [PID|current]", Short: "Show all that the kernel knows of one task", Args: cobra.MaximumNArgs(1),
	}, func(which inspect.Selection, _ *lookFlags) look { return a.oneTask(which) })
	stack := a.lookCommand(&cobra.Command{
		Use: "stack [PID|current]", Short: "Unwind the kernel stack of one task", Args: cobra.MaximumNArgs(1),
	}, func(which inspect.Selection, _ *lookFlags) look { return a.oneStack(which) })
	return []*cobra.Command{ps, tree, one, stack}
}

func (a *app) lookCommand(cmd *cobra.Command, reads func(inspect.Selection, *lookFlags) look) *cobra.Command {
	f := &lookFlags{}
	name := cmd.Name()
	cmd.Long = cmd.Short + `.

The guest is stopped where it is ready for a lab, or with --lab and --at at a
point of a lab: then the running task is the lab's own.`
	cmd.Example = fmt.Sprintf("  lab %s\n  lab %s --lab fork-new --at copy_thread --arch riscv64", name, name)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.at != "" && f.lab == "" {
			return usage.Errorf("--at needs --lab: whose point is %s?", f.at)
		}
		if err := f.machineFlags.check(cmd); err != nil {
			return err
		}
		var which inspect.Selection
		if len(args) > 0 {
			var err error
			if which, err = inspect.Select(args[0]); err != nil {
				return err
			}
		}
		return a.look(cmd.Context(), *f, reads(which, f))
	}
	archFlag(cmd, &f.arch, "x86_64")
	fl := cmd.Flags()
	fl.StringVar(&f.kernel, "kernel", "", "kernel: series, version or image file")
	vmlinuxFlag(cmd, &f.vmlinux)
	fl.StringVar(&f.lab, "lab", "", "stop in a run of this lab")
	fl.StringVar(&f.at, "at", "", "stop at this point of the lab (default its first)")
	f.machineFlags.add(cmd)
	textOrJSON(cmd, &f.format)
	if name == "ps" || name == "tree" {
		fl.BoolVarP(&f.threads, "threads", "t", name == "tree", "threads too")
	}
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.RegisterFlagCompletionFunc("lab", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return labNames(), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.RegisterFlagCompletionFunc("at", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		l, err := labs.Get(f.lab)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return pointNames(l, f.arch), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// pointNames are the names of a lab's points.
func pointNames(l labs.Lab, arch string) []string {
	var names []string
	for _, point := range l.Plan(arch).Points {
		names = append(names, point.Name)
	}
	return names
}

// look stops a guest and prints what the command reads there.
func (a *app) look(ctx context.Context, f lookFlags, read look) error {
	p := progress.New(a.stderr)
	defer p.Done()
	lab := f.lab
	if lab == "" {
		lab = labNames()[0] // any: the guest is the same
	}
	l, err := prepare.Lab(lab)
	if err != nil {
		return err
	}
	if f.lab != "" && f.at == "" {
		f.at = pointNames(l, f.arch)[0]
	}
	if f.at != "" {
		if err := checkPoint(l, f.lab, f.arch, f.at); err != nil {
			return err
		}
	}
	if err := a.hold(ctx); err != nil {
		return err
	}
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: f.arch, Names: []string{f.kernel}})
	if err != nil {
		return err
	}
	if err := host.UseVmlinux(targets, f.vmlinux); err != nil {
		return err
	}
	t := targets[0]
	defer t.Image.SaveQueries()
	return inspect.Guest(ctx, host, t, f.Machine, inspect.Place{Lab: l, Point: f.at}, func(ctx context.Context, s *inspect.Stop) error {
		p.Done()
		doc, text, err := read(ctx, s)
		if err != nil {
			return err
		}
		if f.format == "json" {
			enc := json.NewEncoder(a.stdout)
			enc.SetIndent("", "  ")
			return enc.Encode(doc)
		}
		return text()
	})
}

// listTasks lists every task, and then what could not be read.
func (a *app) listTasks(threads bool, write func(w io.Writer, tasks []*task.Info) error) look {
	return func(ctx context.Context, s *inspect.Stop) (any, func() error, error) {
		doc, damage, err := s.Tasks(ctx, threads)
		return doc, func() error { return errors.Join(write(a.stdout, doc.Tasks), damage) }, err
	}
}

func (a *app) oneTask(which inspect.Selection) look {
	return func(ctx context.Context, s *inspect.Stop) (any, func() error, error) {
		doc, err := s.Task(ctx, which)
		return doc, func() error { return listing.Task(a.stdout, doc.Task) }, err
	}
}

func (a *app) oneStack(which inspect.Selection) look {
	return func(ctx context.Context, s *inspect.Stop) (any, func() error, error) {
		doc, err := s.Stack(ctx, which)
		return doc, func() error { return listing.Stack(a.stdout, doc.Task, doc.CPU, doc.Frames) }, err
	}
}
