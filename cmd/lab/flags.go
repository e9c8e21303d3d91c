package main

import (
	"context"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/labs"
)

// labNames are for completion and for the nearest name.
func labNames() []string {
	all, _ := labs.All()
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	return names
}

// oneLab is the argument check and completion of commands that take a lab.
func oneLab(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return commands.Takes(1, 1, "the name of one lab: "+strings.Join(labNames(), ", "))(cmd, args)
	}
	cmd.ValidArgsFunction = commands.Completion(commands.Words(labNames))
	return cmd
}

// ofLab makes a command of one that takes a lab: run gets the lab that is named first, and
// all arguments.
func ofLab(cmd *cobra.Command, run func(ctx context.Context, l labs.Lab, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := prepare.Lab(args[0])
		if err != nil {
			return err
		}
		return run(cmd.Context(), l, args)
	}
	return oneLab(cmd)
}

// formatFlag adds --format.
func formatFlag(cmd *cobra.Command, into *string, formats []string) {
	commands.Choice(cmd, into, "format", "format", "text", formats, "output")
	f := cmd.Flags().Lookup("format")
	f.Value = flags.Ended(f.Value, "classroom", report.ClassroomEnded)
}

// textOrJSON are the formats of commands that do not grade.
var textOrJSON = []string{report.FormatText, report.FormatJSON}

// archFlag adds --arch.
func archFlag(cmd *cobra.Command, into *string, fallback string) {
	names := arch.Names()
	if fallback == "all" {
		names = append(names, "all")
	}
	commands.Choice(cmd, into, "arch", "architecture", fallback, names, "architecture")
}

// kernelFlags adds the flags that name kernels on all architectures. note follows
// the description of --kernel.
func (a *app) kernelFlags(cmd *cobra.Command, k *prepare.Kernels, note string) {
	archFlag(cmd, &k.Arch, "all")
	cmd.Flags().Var(flags.Texts(&k.Names, math.MaxInt), "kernel", "kernel: series, version or image file; may be repeated"+note)
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
}

// kernelFlag adds the flags that name one kernel.
func (a *app) kernelFlag(cmd *cobra.Command, k *prepare.Kernels) {
	archFlag(cmd, &k.Arch, "x86_64")
	cmd.Flags().Var(flags.Texts(&k.Names, 1), "kernel", "kernel: series, version or image file")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
}

// textFlag adds a flag of any text but none.
func textFlag(cmd *cobra.Command, into *string, name, about string) {
	cmd.Flags().Var(flags.Text(into, ""), name, about)
}

// jobsFlag adds --jobs, of so many things at a time.
func jobsFlag(cmd *cobra.Command, into *int, what string) {
	cmd.Flags().Var(flags.Number(into, 0, 0, math.MaxInt), "jobs", what+" at a time (default: as many as processors and memory allow)")
}

// kernelCompletion knows the cached kernels.
func (a *app) kernelCompletion(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return a.host().CachedNames(), cobra.ShellCompDirectiveDefault // or a file
}

// gradescopeFlags adds how results show on Gradescope.
func gradescopeFlags(cmd *cobra.Command, show *report.Gradescope) {
	commands.Choice(cmd, &show.Visibility, "visibility", "visibility", "", verdict.Visibilities(), "of the tests on Gradescope whose lab.yaml says none")
	cmd.Flags().Var(flags.Texts(&show.Hidden, math.MaxInt), "hide", "a check or question that counts and that students do not see, whatever lab.yaml says; may be repeated")
}

// machineFlags adds the flags of commands that run guests.
func machineFlags(cmd *cobra.Command, f *prepare.Machine) {
	fl := cmd.Flags()
	fl.BoolVar(&f.Cold, "cold", false, "boot the kernel instead of starting from a snapshot")
	fl.Var(flags.Number(&f.Seed, prepare.DefaultSeed, 0, math.MaxUint32), "seed", "seed of the machine's random numbers: another one is another machine, as repeatable as this")
	fl.Var(flags.Number(&f.CPUs, 1, 1, prepare.MaxCPUs), "cpus", "processors of the machine; with more than one, two runs can differ")
	fl.Var(flags.Duration(&f.Limit), "timeout", "what the program may take of the guest's time (default 10s)")
}

// vmlinuxFlag adds --vmlinux.
func vmlinuxFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().Var(flags.Text(value, "", flags.InFile), "vmlinux", "the kernel's vmlinux with debug information, for source lines and variables (default the cache's: lab kernels fetch --debug)")
}

// stepFlag adds --step.
func stepFlag(cmd *cobra.Command, steps *[]string) {
	cmd.Flags().StringArrayVar(steps, "step", nil, "show the steps at this `POINT` in detail: values, backtrace and stacks; may be repeated")
}

// rosterFlag adds --roster.
func rosterFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().Var(flags.Text(into, "", flags.InFile), "roster", "the class's people, a CSV `FILE` that Canvas or Moodle exported, to match submissions with")
	cmd.MarkFlagFilename("roster", "csv")
}

// labFolderFlag adds --lab, of commands that read traces.
func labFolderFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().Var(flags.Text(into, "", flags.InFolder), "lab", "folder of the lab that the traces are of, where it is none of the course")
	cmd.MarkFlagDirname("lab")
}

// taskFlags are the flags that say whose task is wanted.
type taskFlags struct{ student, secret string }

func (f *taskFlags) secretFlag(cmd *cobra.Command) {
	textFlag(cmd, &f.secret, "secret", "file of the class's secret, which chooses each student's task (default $"+prepare.SecretEnv+"; lab secret makes one)")
}

func (f *taskFlags) studentFlag(cmd *cobra.Command, about string) {
	cmd.Flags().Var(flags.Text(&f.student, "", variant.CheckID), "student", about)
}

// asked reads the secret, from the file of --secret or LAB_SECRET.
func (f taskFlags) asked() (prepare.Asked, error) { return prepare.Ask(f.student, f.secret) }
