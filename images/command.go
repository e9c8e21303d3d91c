package images

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

// command is a program we start and wait for. Its process group is its own, so
// that cancelling the context ends everything it has started.
type command struct {
	Path   string
	Args   []string
	Env    []string
	Dir    string
	Stdout io.Writer // the output is kept for errors when nil
}

// run returns what the command printed, standard error included.
func (c command) run(ctx context.Context) ([]byte, error) {
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
	return out.Bytes(), &commandError{Name: cmd.Path, Output: out.String(), Err: err}
}

// commandError is a command's failure with what it said.
type commandError struct {
	Name   string
	Output string
	Err    error
}

func (e *commandError) Error() string {
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

func (e *commandError) Unwrap() error { return e.Err }
