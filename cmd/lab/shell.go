package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/internal/console"
	"kernellab/internal/flags"
	"kernellab/labs"
)

func (a *app) shellCommand() *cobra.Command {
	var k prepare.Kernels
	var attach string
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Boot to the guest's shell, with the labs' programs in it",
		Long:  "shell boots a kernel to a shell on this terminal; the labs' programs are commands there. Ctrl-A x leaves.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if attach != "" {
				return a.attach(cmd.Context(), attach)
			}
			return a.shell(cmd.Context(), k)
		},
	}
	a.kernelFlag(cmd, &k)
	cmd.Flags().Var(flags.Text(&attach, "", console.CheckSocket), "attach", "the console of a guest that lab debug started, by its socket")
	return cmd
}

func (a *app) shell(ctx context.Context, k prepare.Kernels, more ...labs.Lab) error {
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	targets, err := host.Open(ctx, k)
	if err != nil {
		return err
	}
	t := targets[0]
	config, err := host.Shell(ctx, t, more...)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		return err
	}
	defer vm.Close()
	a.progress.Say("booting %s; Ctrl-A x leaves", t.Name())
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

func (a *app) attach(ctx context.Context, path string) error {
	conn, err := console.Dial(ctx, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	a.progress.Say("attached; Ctrl-A x leaves")
	return console.Relay(ctx, conn, a.stdin, a.stdout)
}
