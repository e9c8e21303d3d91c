// Package gdb prepares sessions of gdb on a lab's guest, which a person drives by hand.
package gdb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"kernellab/gdbscripts"
	"kernellab/harness/prepare"
	"kernellab/harness/qemu"
	"kernellab/images"
	"kernellab/images/guest"
	"kernellab/labs"
)

// Debugger is the gdb that knows every architecture, by its Debian name.
const Debugger = "gdb-multiarch"

// Session is a guest that is halted, and what gdb needs to drive it.
type Session struct {
	Command []string // starts gdb
	Console string   // socket of the guest's console; "" for a guest at its first stop
	lab     labs.Lab
	target  prepare.Target
	exited  chan struct{} // closed at the session's end, when err is set
	err     error
	release func()
}

// command starts gdb with the commands of a session.
func command(path string) []string { return []string{Debugger, "-q", "-x", path} }

// Installed returns an error that says what to do if the host has no gdb.
func Installed() error {
	if _, err := exec.LookPath(Debugger); err != nil {
		return fmt.Errorf("%s is not installed: lab doctor --install installs it, --no-gdb does without", Debugger)
	}
	return nil
}

// Guide tells a person how to begin.
func (s *Session) Guide() string {
	self, err := os.Executable()
	if err != nil {
		self = "lab"
	}
	if s.Console == "" {
		return fmt.Sprintf(`%s stands at its first stop in the guest (%s, %s). gdb goes on from there, and back:
reverse-stepi, reverse-continue and reverse-finish, to breakpoints and watchpoints too.
`, s.lab.Name, s.target.Image.Release, s.target.Arch.Name)
	}
	return fmt.Sprintf(`The guest (%s, %s) is halted before its first instruction.
Its console, in another terminal:
  %s shell --attach %s
%s
`, s.target.Image.Release, s.target.Arch.Name, self, s.Console, s.begin())
}

// begin says how the program is started.
func (s *Session) begin() string {
	if s.lab.Init {
		return fmt.Sprintf("Then \"continue\" in gdb: %s is the guest's first process.", s.lab.Name)
	}
	return fmt.Sprintf("Then \"continue\" in gdb, and type %s at the guest's prompt.", s.lab.Name)
}

// Wait waits for the end of the guest or of ctx.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.exited:
		return s.err
	}
}

// Close ends the guest and removes the session's files.
func (s *Session) Close() { s.release() }

// Start starts a session of a lab on a kernel whose guest is halted before its first
// instruction.
func Start(ctx context.Context, h prepare.Host, l labs.Lab, t prepare.Target) (_ *Session, err error) {
	var more []labs.Lab
	if l.Outside() {
		more = append(more, l)
	}
	config, err := h.Shell(ctx, t, more...)
	if err != nil {
		return nil, err
	}
	dir, release, err := Folder(ctx, h.Cache)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	if l.Init {
		config.Append = guest.InitMode("/bin/" + l.Name)
	}
	config.Halted = true
	config.GDBSocket, config.ConsoleSocket = filepath.Join(dir, "gdb.sock"), filepath.Join(dir, "console.sock")
	commands, err := WriteSession(dir, l, t, config.GDBSocket)
	if err != nil {
		return nil, err
	}
	vm, err := qemu.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Session{Command: command(commands), Console: config.ConsoleSocket, lab: l, target: t, exited: make(chan struct{})}
	s.release = func() {
		vm.Close()
		release()
	}
	go func() {
		<-vm.Exited()
		s.err = vm.Err()
		close(s.exited)
	}()
	return s, nil
}

// WriteSession writes into a folder the kernel's symbols and the commands of a session
// on the stub at socket, and returns the path of the commands.
func WriteSession(dir string, l labs.Lab, t prepare.Target, socket string) (string, error) {
	return writeSession(dir, l, t, socket, false)
}

// writeSession is WriteSession. With started the program stands at its first stop.
func writeSession(dir string, l labs.Lab, t prepare.Target, socket string, started bool) (string, error) {
	symbols := t.Image.DebugFile() // has all that we could write, and the source's lines
	if symbols == "" {
		symbols = filepath.Join(dir, "symbols.elf")
		if err := writeFile(symbols, t.Image.WriteSymbolFile); err != nil {
			return "", fmt.Errorf("write the kernel's symbols for gdb: %w", err)
		}
	}
	known, err := l.GDBKernel(t.Image)
	if err != nil {
		return "", err
	}
	commands, err := script(l, t.Arch.Name)
	if err != nil {
		return "", err
	}
	helper, facts := filepath.Join(dir, "lab.py"), filepath.Join(dir, "kernel.json")
	if err := os.WriteFile(helper, []byte(gdbscripts.Helper), 0o600); err != nil {
		return "", err
	}
	if err := writeFile(facts, func(w io.Writer) error { return json.NewEncoder(w).Encode(known) }); err != nil {
		return "", err
	}
	session := filepath.Join(dir, l.Name+".gdb")
	return session, writeFile(session, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `set confirm off
set architecture %s
symbol-file %s
target remote %s
source %s
python kernel, started = json.load(open(%q)), %s
%s`, t.Arch.GDB, symbols, socket, helper, facts, map[bool]string{true: "True", false: "False"}[started], commands)
		return err
	})
}

// script is the lab's script. The course's scripts are files; others are generated.
func script(l labs.Lab, arch string) (string, error) {
	if !l.Outside() {
		return l.GDBScript(arch)
	}
	return l.GenerateGDBScript(arch)
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// longestSocket is what fits into struct sockaddr_un with its final zero.
const longestSocket = 107

// Folder makes a private folder for a session, whose path is short enough for sockets.
// release removes it.
func Folder(ctx context.Context, cache *images.Cache) (dir string, release func(), err error) {
	dir, release, err = cache.TempDir(ctx, "debug")
	if err != nil || len(dir)+len("/console.sock") <= longestSocket {
		return dir, release, err
	}
	release()
	if dir, err = os.MkdirTemp("", "lab"); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
