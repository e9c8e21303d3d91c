package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/internal/console"
	"kernellab/internal/flags"
	"kernellab/internal/progress"
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
	cmd.Flags().Var(flags.Text(&attach, "", isSocket), "attach", "the console of a guest that lab debug started, by its socket")
	return cmd
}

func (a *app) shell(ctx context.Context, k prepare.Kernels) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	host := a.host(p)
	targets, err := host.Open(ctx, k)
	if err != nil {
		return err
	}
	t := targets[0]
	config, err := host.Shell(ctx, t)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, config)
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

// isSocket checks the path of a console.
func isSocket(path string) error {
	if info, err := os.Stat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return errors.New("no guest's console is there: lab debug prints the command to attach to its own, while it runs")
	}
	return nil
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
