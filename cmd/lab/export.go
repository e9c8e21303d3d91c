package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/export"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func (a *app) exportCommand() *cobra.Command {
	cmd := commands.Group("system", &cobra.Command{
		Use:   "export",
		Short: "Make what another system grades with",
	})
	var g export.Gradescope
	var machine, out string
	gradescope := ofLab(&cobra.Command{
		Use:   "gradescope LAB",
		Short: "Make the archive of a Gradescope autograder",
		Long: `gradescope writes the archive that an instructor uploads as an autograder: scripts,
this program, the kernel, QEMU, the guest's files, and the Go toolchain that
submissions are compiled with. Building the autograder's image needs the network for
distribution packages alone; grading needs none.

What could not be graded has no score, which Gradescope reports as an autograder
that failed: run it again from there.`,
		Example: "  lab export gradescope fork-new\n  lab export gradescope fork-new --kernel 6.12 --visibility after_published --out fork-new.zip",
	}, func(ctx context.Context, l labs.Lab, _ []string) (err error) {
		g.Lab = l
		if g.Arch, err = arch.Lookup(machine); err != nil {
			return usage.Wrap(err)
		}
		if err := g.Check(); err != nil {
			return err
		}
		host, err := a.hold(ctx)
		if err != nil {
			return err
		}
		made, err := g.Write(ctx, host, out)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s: %d files, %.0f MB, %s on %s (%s)\n", out, made.Files, float64(made.Size)/1e6, l.Name, made.Kernel, machine)
		return nil
	})
	archFlag(gradescope, &machine, "x86_64")
	textFlag(gradescope, &g.Kernel, "kernel", "kernel: series or version (default: the one that lab run takes)")
	gradescope.Flags().Var(flags.Text(&out, "autograder.zip", flags.OutFile), "out", "file to write")
	gradescopeFlags(gradescope, &g.Show)
	gradescope.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.AddCommand(gradescope)
	return cmd
}
