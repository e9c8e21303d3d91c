package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kernellab/harness/arch"
	"kernellab/harness/class"
	"kernellab/harness/predict"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/images"
	"kernellab/internal/flags"
	"kernellab/internal/mapped"
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
	progress       *progress.Log
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, cache: &images.Cache{}, qemu: &prepare.Choice{}, progress: progress.New(stderr)}
	a.cache.Warn = func(text string) { a.progress.Say("warning: %s", text) }
	return a
}

// host is where the command's runs are prepared.
func (a *app) host() prepare.Host {
	return prepare.Host{Cache: a.cache, QEMU: a.qemu, Progress: a.progress}
}

// hold keeps the cache from lab clean until the command ends.
func (a *app) hold(ctx context.Context) (prepare.Host, error) {
	if a.release == nil {
		release, err := a.cache.Hold(ctx)
		if err != nil {
			return prepare.Host{}, err
		}
		a.release = release
	}
	return a.host(), nil
}

// run is the whole program: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := newApp(stdin, stdout, stderr)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	context.AfterFunc(ctx, stop) // a second signal ends a command that does not end by itself
	err := mapped.Guard(func() error { return root.ExecuteContext(ctx) })
	a.progress.Done()
	if a.release != nil {
		a.release()
	}
	switch {
	case err == nil:
		return a.code
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "lab: interrupted; %s\n", interrupted(err))
		return exitError
	}
	if !a.entered || usage.Is(err) {
		fmt.Fprintf(stderr, "lab: %v\n", strings.TrimSpace(err.Error()))
		return exitUsage
	}
	a.host().Explain(err, "")
	return exitError
}

// interrupted says what an interrupted command has left on the disk.
func interrupted(err error) string {
	var stopped *class.InterruptedError
	if errors.As(err, &stopped) {
		return stopped.Error()
	}
	var kept *predict.StoppedError
	if errors.As(err, &kept) {
		return kept.Error()
	}
	return "nothing was left behind"
}

func (a *app) root() *cobra.Command {
	root := group("command", &cobra.Command{
		Use:   "lab",
		Short: "A laboratory for the Linux kernel: watch a stock kernel do what a lesson is about, and be graded on it",
		Long: `lab boots a stock Linux kernel in QEMU, stops it at the places a lesson is
about, reads what is there from the live machine, records a trace and grades it.

Exit codes: 0 passed · 1 failed · 2 wrong usage · 3 could not grade`,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.entered = true
			if slices.Contains(args, "") && cmd.Name() != cobra.ShellCompRequestCmd {
				return usage.Errorf("%s was given an empty argument: leave it out, or set the variable it comes from", cmd.CommandPath())
			}
			if root, err := a.cache.Root(); err != nil {
				return err
			} else if err := flags.OutFolder(root); err != nil && cmd.Name() != "doctor" {
				return usage.Errorf("the cache, which LAB_CACHE names, is %s: %w", root, err)
			}
			return a.checkQEMU(cmd)
		},
	})
	a.qemuFlag(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.AddCommand(
		a.runCommand(), a.predictCommand(), a.gradeCommand(), a.exportCommand(), a.initCommand(), a.secretCommand(), a.newCommand(), a.testCommand(), a.matrixCommand(), a.checkCommand(), a.verifyCommand(), a.listCommand(), a.showCommand(),
		a.debugCommand(), a.shellCommand(), a.ftraceCommand(), a.kernelsCommand(), a.qemuCommand(), a.doctorCommand(), a.cleanCommand(),
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
		if problem := flags.Problem(err); problem != err {
			return problem
		}
		return usage.Errorf("%w (%s --help tells the flags)", err, cmd.CommandPath())
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return usage.Unknown("flag", "--"+name, known, cmd.CommandPath()+" --help lists them")
}

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

// choice adds a flag whose value is one of words. kind is what they are, and about
// what the flag is for.
func choice(cmd *cobra.Command, into *string, name, kind, fallback string, words []string, about string) {
	cmd.Flags().Var(flags.Choice(into, fallback, kind, words), name, about+": "+strings.Join(words, ", "))
	cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// formatFlag adds --format.
func formatFlag(cmd *cobra.Command, into *string, formats []string) {
	choice(cmd, into, "format", "format", "text", formats, "output")
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
	choice(cmd, into, "arch", "architecture", fallback, names, "architecture")
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
