// Package foreground runs other programs on the terminal of this one.
package foreground

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// Streams are what a program reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// grace is how long a program may take to end after it was asked to, and how long
// processes that it leaves may keep its output open.
const grace = 5 * time.Second

// command is a program on these streams.
func (s Streams) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd
}

// Run runs a program, which the end of ctx interrupts.
func (s Streams) Run(ctx context.Context, args []string) error {
	err := s.command(ctx, args).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %s", args[0], exit.ProcessState)
	}
	return err
}

// Interactive runs a program that uses Ctrl-C itself: until the program ends, SIGINT
// has no effect on this process. The end of ctx ends the program.
func (s Streams) Interactive(ctx context.Context, args []string) error {
	signal.Reset(syscall.SIGINT)
	theirs := make(chan os.Signal, 1)
	signal.Notify(theirs, syscall.SIGINT)
	defer signal.Stop(theirs)
	cmd := s.command(ctx, args)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}
