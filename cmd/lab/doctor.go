package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kernellab/harness/doctor"
	"kernellab/harness/prepare"
	"kernellab/images/emulator"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

func (a *app) doctorCommand() *cobra.Command {
	var format, arch string
	var install bool
	var boots int
	var kernels []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "What this host has and lacks, and the command that mends each",
		Long: `doctor shows what this host has and lacks, and how often each kernel came up when
it was booted here: a stock kernel may die by itself under emulation.

--boots N boots each kernel of the cache, or those of --kernel, N times, each time
with another seed, and counts those that came up.`,
		Example: "  lab doctor\n  lab doctor --install\n  lab doctor --boots 100 --kernel 6.1 --arch x86_64",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case boots < 0:
				return usage.Errorf("--boots %d: want 1 or more", boots)
			case boots == 0 && len(kernels) > 0:
				return usage.Errorf("--kernel says which kernels to boot: add --boots N")
			}
			p := progress.New(a.stderr)
			defer p.Done()
			if install || boots > 0 {
				if err := a.hold(cmd.Context()); err != nil {
					return err
				}
			}
			host := a.host(p)
			if install {
				if err := a.install(cmd.Context(), host); err != nil {
					return err
				}
			}
			if boots > 0 {
				if err := boot(cmd.Context(), host, boots, prepare.Kernels{Arch: arch, Names: kernels}); err != nil {
					return err
				}
			}
			p.Done()
			found := doctor.Examine(cmd.Context(), host)
			if err := context.Cause(cmd.Context()); err != nil {
				return err // what was asked when the signal came looks missing
			}
			return a.doctor(found, format)
		},
	}
	archFlag(cmd, &arch, "all")
	cmd.Flags().IntVar(&boots, "boots", 0, "boot kernels `N` times each and count how many come up")
	cmd.Flags().StringArrayVar(&kernels, "kernel", nil, "kernel to boot: series, version or image file; may be repeated (default: all in the cache)")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	cmd.Flags().BoolVar(&install, "install", false, "fetch lab's own QEMU, and install what else is missing with apt-get (with sudo when not root)")
	textOrJSON(cmd, &format)
	return cmd
}

// boot boots the named kernels n times each, or all in the cache.
func boot(ctx context.Context, host prepare.Host, n int, k prepare.Kernels) error {
	var targets []prepare.Target
	var err error
	if len(k.Names) > 0 {
		targets, err = host.Open(ctx, k)
	} else {
		targets, err = host.OpenCached(k.Arch)
	}
	if err != nil {
		return err
	}
	for _, t := range targets {
		if err := doctor.Boot(ctx, host, t, n); err != nil {
			return err
		}
	}
	return nil
}

// doctor prints what was found. Something that every run needs and that is
// missing makes the exit code 3.
func (a *app) doctor(found []doctor.Finding, format string) error {
	if slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.State == doctor.Missing }) {
		a.code = exitError
	}
	if format == "json" {
		return a.json(map[string]any{"schema": "lab.doctor/1", "findings": found})
	}
	return doctor.Write(a.stdout, found)
}

// install installs every package that is missing, the optional ones too, and fetches
// lab's own QEMU, which may need some of them.
func (a *app) install(ctx context.Context, host prepare.Host) error {
	packages := doctor.Packages(doctor.Examine(ctx, host))
	if len(packages) == 0 {
		fmt.Fprintln(a.stderr, "lab: no packages to install")
	} else {
		fmt.Fprintf(a.stderr, "lab: installing %s\n", strings.Join(packages, " "))
		for _, args := range doctor.Install(packages) {
			if err := a.command(ctx, args); err != nil {
				return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
			}
		}
	}
	if _, other, err := host.OtherQEMU(); err != nil || other {
		return err
	}
	_, err := emulator.In(a.cache).QEMU(ctx, host.Progress.Report)
	return err
}

// command runs a command in the foreground, its output on standard error, and
// says what it runs. Interrupting us interrupts it.
func (a *app) command(ctx context.Context, args []string) error {
	fmt.Fprintf(a.stderr, "lab: $ %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stderr, a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %s", args[0], exit.ProcessState)
	}
	return err
}
