package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// A snapshot is two things: the file behind Config.RAM, and the state of the
// devices, which Save writes and Restore reads. The memory is never copied: the
// capability x-ignore-shared leaves it out of the migration (QEMU's
// migration/ram.c, ramblock_is_ignored), so the machine that is saved maps the
// file shared and those that are restored map it copy-on-write.
//
// The device state fits the same version of QEMU, machine, processor flags and
// amount of memory alone.

// ErrNotSnapshot is returned by Save, Restore and Cont of a machine whose Config.RAM
// is nothing to do that with.
var ErrNotSnapshot = errors.New("the machine's memory is in no file, so it can neither be saved nor restored")

// capabilities start a migration. events makes QEMU say when it is done.
func capabilities() []command {
	type capability struct {
		Name  string `json:"capability"`
		State bool   `json:"state"`
	}
	return []command{
		{Execute: "migrate-set-capabilities", Arguments: map[string]any{"capabilities": []capability{
			{"x-ignore-shared", true}, {"events", true},
		}}},
	}
}

// Save stops the machine, writes its device state to w and leaves its memory in
// the file of Config.RAM. The machine stays stopped until Cont, which spoils the
// snapshot.
//
// QEMU's own timers behind a guest's are not all carried over: see
// arch.QEMU.Timer.
func (vm *VM) Save(ctx context.Context, w io.Writer) error {
	if !vm.shared {
		return fmt.Errorf("save the machine: %w", ErrNotSnapshot)
	}
	err := vm.carry(ctx, "migrate", func(state net.Conn) error {
		_, err := io.Copy(w, state) // QEMU closes its end when all is written
		return err
	})
	if err != nil {
		return vm.because("save the machine", err)
	}
	return nil
}

// Restore gives a machine started with Config.Incoming its device state. It is
// stopped where it was saved, until Cont.
func (vm *VM) Restore(ctx context.Context, state io.Reader) error {
	if !vm.inFile || !vm.incoming {
		return fmt.Errorf("restore the machine: %w", ErrNotSnapshot)
	}
	err := vm.carry(ctx, "migrate-incoming", func(conn net.Conn) error {
		io.Copy(conn, state) // QEMU knows where the state ends, and says when it ended too early
		return conn.Close()
	})
	if err != nil {
		return vm.because("restore the machine", err)
	}
	return nil
}

// Cont lets a stopped machine run. No debugger may be attached: it would miss it.
func (vm *VM) Cont(ctx context.Context) error {
	if !vm.inFile {
		return fmt.Errorf("let the machine run: %w", ErrNotSnapshot)
	}
	if err := vm.monitor.run(ctx, []command{{Execute: "cont"}}, nil, false); err != nil {
		return vm.because("let the machine run", err)
	}
	return nil
}

// Align starts the timer anew that bounds the steps of the guest's clock (see
// ClockStep): the next step ends ClockStep after the guest's present time. A
// restored machine's timer stands elsewhere than that of the machine it was saved
// from, and both have to be aligned for the two to go the same way. The machine is
// stopped.
func (vm *VM) Align(ctx context.Context) error {
	set := func(status string) command {
		return command{Execute: "qom-set", Arguments: map[string]string{"path": "/objects/" + clockFilter, "property": "status", "value": status}}
	}
	if err := vm.monitor.run(ctx, []command{set("off"), set("on")}, nil, false); err != nil {
		return vm.because("align the machine's clock", err)
	}
	return nil
}

// carry runs a migration over a socket whose other end is handed to copy.
func (vm *VM) carry(ctx context.Context, name string, copy func(net.Conn) error) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	copied := make(chan error, 1)
	go func() { copied <- copy(ours) }()
	err = vm.monitor.run(ctx, append(capabilities(),
		command{Execute: "getfd", Arguments: map[string]string{"fdname": "state"}},
		command{Execute: name, Arguments: map[string]string{"uri": "fd:state"}}), theirs, true)
	theirs.Close()
	if err != nil {
		ours.Close()
	}
	defer ours.Close()
	stop := context.AfterFunc(ctx, func() { ours.Close() })
	defer stop()
	if cerr := <-copied; err == nil {
		err = cerr
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// because adds what QEMU says for itself when it ended over it.
func (vm *VM) because(op string, err error) error {
	vm.settle()
	if gone := vm.Err(); gone != nil {
		err = gone
	}
	return fmt.Errorf("%s: %w", op, err)
}
