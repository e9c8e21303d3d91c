package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/images/guest"
	"kernellab/internal/console"
	"kernellab/internal/progress"
)

func (a *app) shellCommand() *cobra.Command {
	var machine, spec, attach string
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Boot to the guest's shell, with the labs' programs in it",
		Long:  "shell boots a kernel to a shell on this terminal; the labs' programs are commands there. Ctrl-A x leaves.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if attach != "" {
				return a.attach(cmd.Context(), attach)
			}
			return a.shell(cmd.Context(), machine, spec)
		},
	}
	archFlag(cmd, &machine, "x86_64")
	cmd.Flags().StringVar(&spec, "kernel", "", "kernel: series, version or image file")
	cmd.Flags().StringVar(&attach, "attach", "", "the console of a guest that lab debug started, by its socket")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	return cmd
}

func (a *app) shell(ctx context.Context, machine, spec string) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: machine, Names: []string{spec}})
	if err != nil {
		return err
	}
	t := targets[0]
	initrd, err := host.ShellInitramfs(ctx, t.Arch)
	if err != nil {
		return err
	}
	emu, err := host.Emulator(ctx)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, shellConfig(emu, t, initrd))
	if err != nil {
		return err
	}
	defer vm.Close()
	p.Say("booting %s; Ctrl-A x leaves", t.Name())
	err = console.Relay(ctx, vm.Console(), a.stdin, a.stdout)
	if err == nil {
		err = vm.Err()
	}
	var ended *qemu.ExitError
	if errors.As(err, &ended) && ended.Stderr == "" {
		return nil // the guest was switched off
	}
	return err
}

// shellConfig is a machine that boots to a shell, for a person.
func shellConfig(emu prepare.Emulator, t prepare.Target, initrd string) qemu.Config {
	return qemu.Config{
		Command: emu.For(t.Arch), Arch: t.Arch, Kernel: t.Path, Initrd: initrd, Append: guest.ShellMode,
		Seed: prepare.DefaultSeed, Interactive: true,
	}
}

func (a *app) attach(ctx context.Context, path string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("attach to %s: %w; is lab debug still running?", path, err)
	}
	defer conn.Close()
	fmt.Fprintln(a.stderr, "lab: attached; Ctrl-A x leaves")
	return console.Relay(ctx, conn, a.stdin, a.stdout)
}
