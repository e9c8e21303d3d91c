package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
)

// A snapshot has two parts: the file of Config.RAM, and the state of the devices,
// which Save writes and Restore reads. The memory is never copied: the capability
// x-ignore-shared excludes it from the migration (QEMU's migration/ram.c,
// ramblock_is_ignored). A machine to be saved maps the file shared, and a restored
// one copy-on-write.
//
// The device state can only be restored with the same version of QEMU, machine,
// processor flags and amount of memory.

// ErrNotSnapshot is returned by Save, Restore and Cont of a machine whose Config does
// not allow that.
var ErrNotSnapshot = errors.New("the machine's memory is not in a file, so it can neither be saved nor restored")

// settings returns the commands that precede a migration. The capability events makes
// QEMU report its end. A restored machine would announce itself on its network five times
// in its first second, by the host's clock: each time QEMU's main loop wakes, and with
// several vCPUs that may change which of them runs next (see TurnsRepeat).
func settings() []command {
	type capability struct {
		Name  string `json:"capability"`
		State bool   `json:"state"`
	}
	return []command{
		{Execute: "migrate-set-capabilities", Arguments: map[string]any{"capabilities": []capability{
			{"x-ignore-shared", true}, {"events", true},
		}}},
		{Execute: "migrate-set-parameters", Arguments: map[string]int{"announce-rounds": 0}},
	}
}

// Save stops the machine and writes its device state to w. Its memory is in the file
// of Config.RAM. The machine stays stopped until Cont, after which the snapshot is no
// longer valid.
//
// QEMU does not save all of its timers: see arch.QEMU.Timer.
func (vm *VM) Save(ctx context.Context, w io.Writer) error {
	if !vm.shared {
		return fmt.Errorf("save the machine: %w", ErrNotSnapshot)
	}
	err := vm.migrate(ctx, "migrate", func(state net.Conn) error {
		_, err := io.Copy(w, state) // QEMU closes its end at the end of the state
		return err
	})
	if err != nil {
		return vm.because("save the machine", err)
	}
	return nil
}

// Restore loads the device state into a machine started with Config.Incoming. The
// machine stays stopped, where it was saved, until Cont.
func (vm *VM) Restore(ctx context.Context, state io.Reader) error {
	if !vm.inFile || !vm.incoming {
		return fmt.Errorf("restore the machine: %w", ErrNotSnapshot)
	}
	err := vm.migrate(ctx, "migrate-incoming", func(conn net.Conn) error {
		io.Copy(conn, state) // QEMU finds the end of the state, and reports a truncated one
		return conn.Close()
	})
	if err != nil {
		return vm.because("restore the machine", err)
	}
	return nil
}

// Cont lets a stopped machine run. No debugger may be attached, as it would not
// notice.
func (vm *VM) Cont(ctx context.Context) error {
	if !vm.inFile {
		return fmt.Errorf("let the machine run: %w", ErrNotSnapshot)
	}
	if err := vm.monitor.run(ctx, []command{{Execute: "cont"}}, nil, false); err != nil {
		return vm.because("let the machine run", err)
	}
	return nil
}

// Align restarts the timer that limits the steps of the guest's clock (see
// ClockStep): it next expires ClockStep after the guest's present time. The timer of a
// restored machine expires at another time than that of the saved machine, and the two
// machines only behave alike if both are aligned. The machine must be stopped.
func (vm *VM) Align(ctx context.Context) error {
	set := func(status string) command {
		return command{Execute: "qom-set", Arguments: map[string]string{"path": "/objects/" + clockFilter, "property": "status", "value": status}}
	}
	if err := vm.monitor.run(ctx, []command{set("off"), set("on")}, nil, false); err != nil {
		return vm.because("align the machine's clock", err)
	}
	return nil
}

// migrate runs a migration over a socket and calls copy with the socket's other end.
func (vm *VM) migrate(ctx context.Context, name string, copy func(net.Conn) error) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	copied := make(chan error, 1)
	go func() { copied <- copy(ours) }()
	err = vm.monitor.run(ctx, append(settings(),
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

// because wraps err. If QEMU has ended, it wraps the ExitError instead.
func (vm *VM) because(op string, err error) error {
	vm.awaitExit()
	if gone := vm.Err(); gone != nil {
		err = gone
	}
	return fmt.Errorf("%s: %w", op, err)
}
