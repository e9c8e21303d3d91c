// Package terminal connects a person's terminal to the shell of a guest, or to the
// console of one that runs already.
package terminal

import (
	"context"
	"errors"
	"io"

	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/internal/console"
	"kernellab/labs"
)

// Streams are what a person types, and where they read.
type Streams struct {
	Keys   io.Reader
	Screen io.Writer
}

// Shell boots a kernel to a shell, in which the labs' programs are commands, and connects
// it until the person leaves or switches the guest off. more are labs outside the course.
func (s Streams) Shell(ctx context.Context, h prepare.Host, t prepare.Target, more ...labs.Lab) error {
	config, err := h.Shell(ctx, t, more...)
	if err != nil {
		return err
	}
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		return err
	}
	defer vm.Close()
	h.Progress.Say("booting %s; Ctrl-A x leaves", t.Name())
	err = console.Relay(ctx, vm.Console(), s.Keys, s.Screen)
	if err == nil {
		err = vm.Err()
	}
	var ended *qemu.ExitError
	if errors.As(err, &ended) && ended.Stderr == "" {
		return nil // the guest was switched off
	}
	return err
}

// Attach connects to the console of a guest by its socket.
func (s Streams) Attach(ctx context.Context, p prepare.Progress, socket string) error {
	conn, err := console.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	p.Say("attached; Ctrl-A x leaves")
	return console.Relay(ctx, conn, s.Keys, s.Screen)
}
