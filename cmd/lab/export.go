package main

import (
	"context"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/export"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// exportFlags are the flags of lab export gradescope.
type exportFlags struct {
	arch, kernel string
	out          string
	show         report.Gradescope
}

func (a *app) exportCommand() *cobra.Command {
	cmd := group("system", &cobra.Command{
		Use:   "export",
		Short: "Make what another system grades with",
	})
	var f exportFlags
	gradescope := oneLab(&cobra.Command{
		Use:   "gradescope LAB",
		Short: "Make the archive of a Gradescope autograder",
		Long: `gradescope writes the archive that an instructor uploads as an autograder: scripts,
this program, the kernel, QEMU, the guest's files, and the Go toolchain that
submissions are compiled with. Building the autograder's image needs the network for
distribution packages alone; grading needs none.

What could not be graded has no score, which Gradescope reports as an autograder
that failed: run it again from there.`,
		Example: "  lab export gradescope fork-new\n  lab export gradescope fork-new --kernel 6.12 --visibility after_published --out fork-new.zip",
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			return a.exportGradescope(cmd.Context(), lab, f)
		},
	})
	archFlag(gradescope, &f.arch, "x86_64")
	fl := gradescope.Flags()
	fl.Var(flags.Text(&f.kernel, ""), "kernel", "kernel: series or version (default: the one that lab run takes)")
	fl.Var(flags.Text(&f.out, "autograder.zip", flags.OutFile), "out", "file to write")
	gradescopeFlags(gradescope, &f.show)
	gradescope.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.AddCommand(gradescope)
	return cmd
}

// gradescopeFlags adds how results show on Gradescope.
func gradescopeFlags(cmd *cobra.Command, show *report.Gradescope) {
	choice(cmd, &show.Visibility, "visibility", "visibility", "", verdict.Visibilities(), "of the tests on Gradescope whose lab.yaml says none")
	cmd.Flags().Var(flags.Texts(&show.Hidden, math.MaxInt), "hide", "a check or question that counts and that students do not see, whatever lab.yaml says; may be repeated")
}

// exportGradescope writes the archive.
func (a *app) exportGradescope(ctx context.Context, l labs.Lab, f exportFlags) error {
	if !l.Takes() {
		return usage.Errorf("%s takes no submissions: its lab.yaml does not say what to hand in", l.Name)
	}
	if err := f.show.Check(l.Rules(f.arch).CheckNames()); err != nil {
		return usage.Wrap(err)
	}
	machine, err := arch.Lookup(f.arch)
	if err != nil {
		return usage.Wrap(err)
	}
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	g := export.Gradescope{Lab: l, Arch: machine, Kernel: f.kernel, Show: f.show}
	made, err := g.Write(ctx, host, f.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %d files, %.0f MB, %s on %s (%s)\n", f.out, made.Files, float64(made.Size)/1e6, l.Name, made.Kernel, machine.Name)
	return nil
}
