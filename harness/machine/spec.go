package machine

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
)

// Spec describes a machine. Zero values of optional fields mean the documented
// defaults.
type Spec struct {
	Arch   arch.Arch
	Image  *kernel.Image
	Kernel string // image file for QEMU
	Initrd string // initramfs with the agent

	QEMU []string // command that starts QEMU, see qemu.Config.Command
	Seed uint32   // of the machine's random numbers
	CPUs int      // default 1

	// Snapshots stores booted guests; nil means to boot every time. With Cold the
	// machine boots in any case, and the boot is recorded there.
	Snapshots *snapshot.Store
	Cold      bool
	// Guard limits what may hang, by the host's clock; the default is DefaultGuard.
	Guard time.Duration
	// Idle is how long QEMU may get no processor time during a request before Stage
	// reports it; the default is DefaultIdle.
	Idle time.Duration

	Stage func(string) // is called with the current step; may be nil

	// Emulate starts a machine; the default is qemu.Start. Tests use package
	// machinetest.
	Emulate func(context.Context, qemu.Config) (Emulator, error)
}

// Emulator is a machine that can be driven, saved and restored, normally a *qemu.VM.
type Emulator interface {
	VM
	GDB() net.Conn
	Output() *os.File // of the guest's console, a pipe that its reader closes
	Save(ctx context.Context, w io.Writer) error
	Restore(ctx context.Context, state io.Reader) error
}

// Config returns the configuration for QEMU.
func (s Spec) Config() qemu.Config {
	return qemu.Config{Arch: s.Arch, Kernel: s.Kernel, Initrd: s.Initrd, Command: s.QEMU, Seed: s.Seed, CPUs: s.CPUs}
}

func (s Spec) stage(format string, args ...any) {
	if s.Stage != nil {
		s.Stage(fmt.Sprintf(format, args...))
	}
}

func (s Spec) guard() time.Duration {
	if s.Guard > 0 {
		return s.Guard
	}
	return DefaultGuard
}

func (s Spec) idle() time.Duration {
	if s.Idle > 0 {
		return s.Idle
	}
	return DefaultIdle
}

// command returns the command that starts QEMU.
func (s Spec) command() []string {
	if len(s.QEMU) > 0 {
		return s.QEMU
	}
	return []string{s.Arch.QEMU.Binary}
}

// Version returns QEMU's version. With snapshots it asks each executable only once.
func (s Spec) Version(ctx context.Context) (string, error) {
	command := s.command()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return "", &qemu.MissingError{Binary: command[0], Package: s.Arch.QEMU.Package, Err: err}
	}
	if s.Snapshots == nil {
		return qemu.Version(ctx, command)
	}
	if len(command) > 1 { // a loader: the program that it loads has the version
		path = executable(command)
	}
	return s.Snapshots.Fact(ctx, "version", path, func() (string, error) { return qemu.Version(ctx, command) })
}

// executable returns QEMU's program in a command: the last program, after env(1) and a
// dynamic loader.
func executable(command []string) string {
	for _, word := range slices.Backward(command[1:]) {
		if path, err := exec.LookPath(word); err == nil {
			return path
		}
	}
	return command[0]
}

// environment returns the variables that a command sets for QEMU: "NAME=VALUE".
func environment(command []string) []string {
	if filepath.Base(command[0]) != "env" {
		return nil
	}
	n := slices.IndexFunc(command[1:], func(word string) bool { return !strings.Contains(word, "=") })
	return command[1 : 1+max(n, 0)]
}

// key returns the key of the machine's snapshot: everything that the snapshot depends
// on.
func (s Spec) key(ctx context.Context) (k snapshot.Key, err error) {
	k.Machine, k.Kernel = s.Config().Identity(), s.Image.SHA256
	if k.Initrd, err = s.Snapshots.Digest(ctx, s.Initrd); err != nil {
		return k, err
	}
	if k.Binary, err = snapshot.Identity(executable(s.command())); err != nil {
		return k, err
	}
	k.Binary = strings.Join(append([]string{k.Binary}, environment(s.command())...), " ")
	k.QEMU, err = s.Version(ctx)
	return k, err
}
