package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// The exit codes, a contract: with several results the worst wins.
const (
	exitPass  = 0
	exitFail  = 1 // graded and failed
	exitUsage = 2
	exitError = 3 // could not grade
)

// app is one call of the program: its streams and what its commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	cache          *images.Cache
	code           int             // exit code of a command that ran to its end
	entered        bool            // a command began: errors before that are the caller's usage
	qemu           *prepare.Choice // --qemu, and the QEMU it comes to
	release        func()          // lets go of the cache; nil while it is not held
}

// host is where the command's runs are prepared.
func (a *app) host(p *progress.Log) prepare.Host {
	return prepare.Host{Cache: a.cache, QEMU: a.qemu, Progress: p}
}

// run is the whole program: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, cache: &images.Cache{}}
	a.cache.Warn = func(text string) { fmt.Fprintf(stderr, "lab: warning: %s\n", text) }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	context.AfterFunc(ctx, stop) // a second signal ends a command that does not end by itself
	err := root.ExecuteContext(ctx)
	if a.release != nil {
		a.release()
	}
	switch {
	case err == nil:
		return a.code
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "lab: interrupted; %s\n", remains(err))
		return exitError
	}
	if !a.entered || usage.Is(err) {
		fmt.Fprintf(stderr, "lab: %v\n", strings.TrimSpace(err.Error()))
		return exitUsage
	}
	explain(stderr, err)
	return exitError
}

// explain prints an error that is not the caller's, with the end of the guest's
// console when it has one.
func explain(w io.Writer, err error) {
	fmt.Fprintf(w, "lab: %v\n", err)
	if lines := machine.Console(err); len(lines) > 0 {
		fmt.Fprintln(w, "  the guest's console ended with:")
		for _, line := range lines {
			fmt.Fprintf(w, "  | %s\n", line)
		}
	}
}

func (a *app) root() *cobra.Command {
	root := group("command", &cobra.Command{
		Use:   "lab",
		Short: "A laboratory for the Linux kernel: watch a stock kernel do what a lesson is about, and be graded on it",
		Long: `lab boots a stock Linux kernel in QEMU, stops it at the places a lesson is
about, reads what is there from the live machine, records a trace and grades it.

Exit codes: 0 passed · 1 failed · 2 wrong usage · 3 could not grade`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.entered = true
			if _, err := a.cache.Root(); err != nil {
				return err
			}
			return a.checkQEMU(cmd)
		},
	})
	a.qemuFlag(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.AddCommand(
		a.runCommand(), a.gradeCommand(), a.exportCommand(), a.initCommand(), a.newCommand(), a.matrixCommand(), a.checkCommand(), a.verifyCommand(), a.listCommand(), a.showCommand(),
		a.debugCommand(), a.shellCommand(), a.kernelsCommand(), a.qemuCommand(), a.doctorCommand(), a.cleanCommand(),
	)
	root.AddCommand(a.lookCommands()...)
	return root
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return names
}

// group makes a command that only has subcommands, each the name of a kind of thing.
func group(kind string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage.Unknown(kind, args[0], commandNames(cmd), cmd.CommandPath()+" --help lists them")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return cmd
}

// flagError adds the nearest flags to an unknown one.
func flagError(cmd *cobra.Command, err error) error {
	_, name, ok := strings.Cut(err.Error(), "unknown flag: --")
	if !ok {
		return usage.Errorf("%w (%s --help tells the flags)", err, cmd.CommandPath())
	}
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, "--"+f.Name) })
	return usage.Unknown("flag", "--"+name, flags, cmd.CommandPath()+" --help lists them")
}

// style is how text for people is written to standard output: with colour only
// on a terminal, and not where NO_COLOR is set.
func (a *app) style() report.Style {
	tty, width := progress.Terminal(a.stdout)
	if !tty {
		return report.Style{Width: 100}
	}
	color := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if color {
		lipgloss.SetColorProfile(termenv.NewOutput(os.Stdout).ColorProfile())
	}
	return report.Style{Color: color, Width: min(width, 120)}
}

// labNames are for completion and for the nearest name.
func labNames() []string {
	all, err := labs.All()
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	return names
}

// oneLab is the argument check and completion of commands that take a lab.
func oneLab(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage.Errorf("%s takes the name of one lab: %s", cmd.CommandPath(), strings.Join(labNames(), ", "))
		}
		return nil
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return labNames(), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// archFlag adds --arch. prepare.Archs checks the value.
func archFlag(cmd *cobra.Command, value *string, fallback string) {
	names := append(arch.Names(), "all")
	if fallback != "all" {
		names = arch.Names()
	}
	cmd.Flags().StringVar(value, "arch", fallback, "architecture: "+strings.Join(names, ", "))
	cmd.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

// kernelCompletion knows the cached kernels.
func (a *app) kernelCompletion(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var specs []string
	for _, m := range arch.All() {
		kernels, _ := linux.In(a.cache).Kernels(m.Name)
		for _, k := range kernels {
			specs = append(specs, k.Series, k.Version)
		}
	}
	slices.Sort(specs)
	return slices.Compact(specs), cobra.ShellCompDirectiveDefault // or a file
}
