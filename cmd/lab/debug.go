package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/gdb"
	"kernellab/harness/prepare"
	"kernellab/internal/foreground"
	"kernellab/labs"
)

func (a *app) debugCommand() *cobra.Command {
	var k prepare.Kernels
	var noGDB, boot bool
	cmd := ofLab(&cobra.Command{
		Use:   "debug LAB",
		Short: "The lab by hand: a halted guest, and gdb on it",
		Long: `debug starts gdb on a guest in which the lab's program stands at its first stop,
with the kernel's symbols and the lab's script. gdb can go back in this guest.
With --boot the guest is halted before its first instruction, and gdb goes
forwards only. The guest's console is then for another terminal: debug prints
the command for it.`,
	}, func(ctx context.Context, l labs.Lab, _ []string) error { return a.debug(ctx, l, k, boot, noGDB) })
	a.kernelFlag(cmd, &k)
	vmlinuxFlag(cmd, &k.Vmlinux)
	cmd.Flags().BoolVar(&boot, "boot", false, "begin before the guest's first instruction")
	cmd.Flags().BoolVar(&noGDB, "no-gdb", false, "print gdb's command instead of starting it")
	return cmd
}

func (a *app) debug(ctx context.Context, l labs.Lab, k prepare.Kernels, boot, noGDB bool) error {
	if !noGDB {
		if err := gdb.Installed(); err != nil {
			return err
		}
	}
	host, targets, err := a.open(ctx, k)
	if err != nil {
		return err
	}
	start := func() (*gdb.Session, error) { return gdb.StartAtStop(ctx, host, l, targets[0]) }
	if boot {
		start = func() (*gdb.Session, error) { return gdb.Start(ctx, host, l, targets[0]) }
	}
	s, err := start()
	if err != nil {
		return err
	}
	defer s.Close()
	a.progress.Done()
	fmt.Fprint(a.stderr, s.Guide())
	if !noGDB {
		return foreground.Streams{In: a.stdin, Out: a.stdout, Err: a.stderr}.Interactive(ctx, s.Command)
	}
	fmt.Fprintf(a.stdout, "%s\n", strings.Join(s.Command, " "))
	fmt.Fprintln(a.stderr, "Ctrl-C ends the guest.")
	return s.Wait(ctx)
}
