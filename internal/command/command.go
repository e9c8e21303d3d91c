// Package command runs the programs of others, such as apt-get and the go command,
// to their end: in a process group of their own, and with their output in errors.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// killGrace is what a command has to end by itself after it was asked to.
const killGrace = 5 * time.Second

// Command is a program we start and wait for. Its process group is its own, so
// that cancelling the context ends everything it has started.
type Command struct {
	Path   string
	Args   []string
	Env    []string
	Dir    string
	Stdout io.Writer // the output is kept for errors when nil
}

// Run returns what the command printed, standard error included.
func (c Command) Run(ctx context.Context) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = &out, &out
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	err := cmd.Run()
	if cmd.Process != nil {
		// The leader is gone; what it left of its group goes too.
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if err == nil {
		return out.Bytes(), nil
	}
	if e := context.Cause(ctx); e != nil {
		return out.Bytes(), e
	}
	return out.Bytes(), &Error{Name: cmd.Path, Output: out.String(), Err: err}
}

// Error is a command's failure with what it said.
type Error struct {
	Name   string
	Output string
	Err    error
}

func (e *Error) Error() string {
	if errors.Is(e.Err, exec.ErrNotFound) {
		return e.Err.Error()
	}
	text := strings.TrimSpace(e.Output)
	if len(text) > 2000 {
		text = "…" + text[len(text)-2000:]
	}
	if text == "" {
		return fmt.Sprintf("%s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Name, e.Err, text)
}

func (e *Error) Unwrap() error { return e.Err }

// DiskFull reports whether we or a command failed for want of space: that is the
// host's trouble, whatever the command was about.
func DiskFull(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	var c *Error
	return errors.As(err, &c) && (strings.Contains(c.Output, "no space left on device") || strings.Contains(c.Output, "No space left on device") || strings.Contains(c.Output, "file too large"))
}
