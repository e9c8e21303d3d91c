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

// Spec describes a machine. The zero value of what is not needed is the documented
// default.
type Spec struct {
	Arch   arch.Arch
	Image  *kernel.Image
	Kernel string // image file for QEMU
	Initrd string // initramfs that holds the agent

	QEMU []string // what starts QEMU, see qemu.Config.Command
	Seed uint32   // of the machine's random numbers
	CPUs int      // default 1

	// Snapshots is where booted guests are kept; nil is to boot every time. Cold
	// boots in any case, and counts it there.
	Snapshots *snapshot.Store
	Cold      bool
	// Guard ends what hangs, by the host's clock; default DefaultGuard.
	Guard time.Duration
	// Idle is how long QEMU may get no processor time, while something is asked of the
	// machine, before Stage says so; default DefaultIdle.
	Idle time.Duration

	Stage func(string) // takes what is being done now; may be nil

	// Emulate starts a machine; default qemu.Start. Tests have another in package
	// machinetest.
	Emulate func(context.Context, qemu.Config) (Emulator, error)
}

// Emulator is a machine that can be talked to, saved and restored: a *qemu.VM.
type Emulator interface {
	VM
	GDB() net.Conn
	Output() *os.File // of the guest's console, a pipe that its reader closes
	Save(ctx context.Context, w io.Writer) error
	Restore(ctx context.Context, state io.Reader) error
}

// Config is the machine's as QEMU has to be told.
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

// command is what starts QEMU.
func (s Spec) command() []string {
	if len(s.QEMU) > 0 {
		return s.QEMU
	}
	return []string{s.Arch.QEMU.Binary}
}

// Version returns QEMU's version, asked once for each executable where there are
// snapshots.
func (s Spec) Version(ctx context.Context) (string, error) {
	command := s.command()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return "", &qemu.MissingError{Binary: command[0], Package: s.Arch.QEMU.Package, Err: err}
	}
	if s.Snapshots == nil {
		return qemu.Version(ctx, command)
	}
	if len(command) > 1 { // a loader: what it loads has the version
		path = executable(command)
	}
	return s.Snapshots.Fact(ctx, "version", path, func() (string, error) { return qemu.Version(ctx, command) })
}

// executable is QEMU's program in a command: the last that there is, after env(1)
// and a dynamic loader.
func executable(command []string) string {
	for _, word := range slices.Backward(command[1:]) {
		if path, err := exec.LookPath(word); err == nil {
			return path
		}
	}
	return command[0]
}

// environment is what a command sets of QEMU's environment: "NAME=VALUE".
func environment(command []string) []string {
	if filepath.Base(command[0]) != "env" {
		return nil
	}
	n := slices.IndexFunc(command[1:], func(word string) bool { return !strings.Contains(word, "=") })
	return command[1 : 1+max(n, 0)]
}

// key names the machine by everything that its snapshot depends on.
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
