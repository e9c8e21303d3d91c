package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kernellab/harness/gdb"
	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/internal/progress"
	"kernellab/labs"
)

// debugger is the gdb that knows every architecture, by its Debian name.
const debugger = "gdb-multiarch"

func (a *app) debugCommand() *cobra.Command {
	var machine, spec, vmlinux string
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
			return a.debug(cmd.Context(), l, machine, spec, vmlinux, noGDB)
		},
	})
	archFlag(cmd, &machine, "x86_64")
	cmd.Flags().StringVar(&spec, "kernel", "", "kernel: series, version or image file")
	vmlinuxFlag(cmd, &vmlinux)
	cmd.Flags().BoolVar(&noGDB, "no-gdb", false, "print gdb's command instead of starting it")
	cmd.RegisterFlagCompletionFunc("kernel", a.kernelCompletion)
	return cmd
}

func (a *app) debug(ctx context.Context, l labs.Lab, machine, spec, vmlinux string, noGDB bool) error {
	p := progress.New(a.stderr)
	defer p.Done()
	if _, err := exec.LookPath(debugger); err != nil && !noGDB {
		return fmt.Errorf("%s is not installed: lab doctor --install installs it, --no-gdb does without", debugger)
	}
	if err := a.hold(ctx); err != nil {
		return err
	}
	host := a.host(p)
	targets, err := host.Open(ctx, prepare.Kernels{Arch: machine, Names: []string{spec}})
	if err != nil {
		return err
	}
	if err := host.UseVmlinux(targets, vmlinux); err != nil {
		return err
	}
	t := targets[0]
	var more []labs.Lab
	if l.Outside() {
		more = append(more, l)
	}
	initrd, err := host.ShellInitramfs(ctx, t.Arch, more...)
	if err != nil {
		return err
	}
	dir, release, err := gdb.Folder(ctx, a.cache)
	if err != nil {
		return err
	}
	defer release()
	emu, err := host.Emulator(ctx)
	if err != nil {
		return err
	}
	config := shellConfig(emu, t, initrd)
	config.Halted = true
	config.GDBSocket, config.ConsoleSocket = filepath.Join(dir, "gdb.sock"), filepath.Join(dir, "console.sock")
	session, err := gdb.WriteSession(dir, l, t, config.GDBSocket)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		return err
	}
	defer vm.Close()
	p.Done()
	fmt.Fprintf(a.stderr, `The guest (%s, %s) is halted before its first instruction.
Its console, in another terminal:
  %s shell --attach %s
Then "continue" in gdb, and type %s at the guest's prompt.
`, t.Image.Release, t.Arch.Name, self(), config.ConsoleSocket, l.Name)
	command := []string{debugger, "-q", "-x", session}
	if noGDB {
		fmt.Fprintf(a.stdout, "%s\n", strings.Join(command, " "))
		fmt.Fprintln(a.stderr, "Ctrl-C ends the guest.")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-vm.Exited():
			return vm.Err()
		}
	}
	return a.foreground(ctx, command)
}

// self is how another terminal calls this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return "lab"
	}
	return path
}

// foregroundGrace is what such a program has to end by itself after it was asked to.
const foregroundGrace = 5 * time.Second

// foreground runs a program that has the terminal. Ctrl-C is its own: it stops
// the guest, not us. When ctx ends, the program does.
func (a *app) foreground(ctx context.Context, args []string) error {
	signal.Reset(syscall.SIGINT)
	theirs := make(chan os.Signal, 1)
	signal.Notify(theirs, syscall.SIGINT)
	defer signal.Stop(theirs)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = foregroundGrace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
