package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/gdb"
	"kernellab/harness/prepare"
	"kernellab/internal/foreground"
	"kernellab/internal/progress"
	"kernellab/labs"
)

func (a *app) debugCommand() *cobra.Command {
	var k prepare.Kernels
	var noGDB bool
	cmd := oneLab(&cobra.Command{
		Use:   "debug LAB",
		Short: "The lab by hand: a halted guest, and gdb on it",
		Long: `debug starts the guest halted before its first instruction and gdb on its stub,
with the kernel's symbols and the lab's script. The guest's console is for
another terminal: debug prints the command for it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			return a.debug(cmd.Context(), l, k, noGDB)
		},
	})
	a.kernelFlag(cmd, &k)
	vmlinuxFlag(cmd, &k.Vmlinux)
	cmd.Flags().BoolVar(&noGDB, "no-gdb", false, "print gdb's command instead of starting it")
	return cmd
}

func (a *app) debug(ctx context.Context, l labs.Lab, k prepare.Kernels, noGDB bool) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if _, err := exec.LookPath(gdb.Debugger); err != nil && !noGDB {
		return fmt.Errorf("%s is not installed: lab doctor --install installs it, --no-gdb does without", gdb.Debugger)
	}
	if err := a.hold(ctx); err != nil {
		return err
	}
	targets, err := a.host(p).Open(ctx, k)
	if err != nil {
		return err
	}
	t := targets[0]
	s, err := gdb.Start(ctx, a.host(p), l, t)
	if err != nil {
		return err
	}
	defer s.Close()
	p.Done()
	self, err := os.Executable()
	if err != nil {
		self = "lab"
	}
	fmt.Fprintf(a.stderr, `The guest (%s, %s) is halted before its first instruction.
Its console, in another terminal:
  %s shell --attach %s
Then "continue" in gdb, and type %s at the guest's prompt.
`, t.Image.Release, t.Arch.Name, self, s.Console, l.Name)
	if !noGDB {
		return foreground.Streams{In: a.stdin, Out: a.stdout, Err: a.stderr}.Interactive(ctx, s.Command)
	}
	fmt.Fprintf(a.stdout, "%s\n", strings.Join(s.Command, " "))
	fmt.Fprintln(a.stderr, "Ctrl-C ends the guest.")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.Machine.Exited():
		return s.Machine.Err()
	}
}
