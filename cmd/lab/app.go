package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kernellab/harness/class"
	"kernellab/harness/predict"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/terminal"
	"kernellab/images"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/internal/mapped"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
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

// open holds the cache, and opens the kernels that were named.
func (a *app) open(ctx context.Context, k prepare.Kernels) (prepare.Host, []prepare.Target, error) {
	host, err := a.hold(ctx)
	if err != nil {
		return host, nil, err
	}
	targets, err := host.Open(ctx, k)
	return host, targets, err
}

// json prints a document.
func (a *app) json(doc any) error { return report.JSON(a.stdout, doc) }

// write prints a document as JSON, or as text writes it.
func (a *app) write(format string, doc any, text func(io.Writer) error) error {
	if format == report.FormatJSON {
		return a.json(doc)
	}
	return text(a.stdout)
}

// terminal is the person's.
func (a *app) terminal() terminal.Streams { return terminal.Streams{Keys: a.stdin, Screen: a.stdout} }

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
	root := commands.Group("command", &cobra.Command{
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
	root.SetFlagErrorFunc(commands.FlagError)
	root.AddCommand(
		a.runCommand(), a.predictCommand(), a.gradeCommand(), a.exportCommand(), a.initCommand(), a.secretCommand(), a.newCommand(), a.testCommand(), a.matrixCommand(), a.checkCommand(), a.viewCommand(), a.stepCommand(), a.verifyCommand(), a.listCommand(), a.showCommand(),
		a.debugCommand(), a.shellCommand(), a.ftraceCommand(), a.callsCommand(), a.whyCommand(), a.kernelsCommand(), a.qemuCommand(), a.doctorCommand(), a.cleanCommand(),
	)
	root.AddCommand(a.lookCommands()...)
	return root
}
