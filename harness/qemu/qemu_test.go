package qemu

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
)

func lookup(t *testing.T, name string) arch.Arch {
	t.Helper()
	a, err := arch.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestArgs(t *testing.T) {
	x86, riscv := lookup(t, "x86_64"), lookup(t, "riscv64")
	machine := func(m, cpu string) []string {
		return []string{"-M", m, "-cpu", cpu, "-accel", "tcg", "-m", "256", "-smp", "1",
			"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"}
	}
	const clock = "base=2026-01-01T00:00:00,clock=vm"
	ownTime := func(seed string) []string {
		return []string{"-icount", "shift=3,sleep=off", "-rtc", clock, "-seed", seed,
			"-netdev", "hubport,id=unused,hubid=0", "-object", "filter-buffer,id=clock,netdev=unused,queue=all,interval=1000"}
	}
	kernel := func(more string) []string {
		return []string{"-kernel", "vmlinuz", "-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4 cryptomgr.notests" + more}
	}
	const x86words = " no_timer_check initcall_blacklist=load_system_certificate_list,jent_mod_init"
	output := []string{"-add-fd", "set=1,fd=3", "-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console"}
	inherited := slices.Concat(output, []string{"-chardev", "socket,id=gdb,fd=4", "-gdb", "chardev:gdb",
		"-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control"})
	ram := func(fd, share string) []string {
		return []string{"-object", "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/" + fd + ",share=" + share}
	}
	incoming := []string{"-incoming", "defer", "-S"}
	tests := []struct {
		name string
		c    Config
		want [][]string
	}{
		{"x86_64", Config{Arch: x86, Kernel: "vmlinuz", Initrd: "base.cpio", Seed: 1},
			[][]string{machine("pc", "qemu64,+rdrand"), ownTime("1"), kernel(" lab.seed=1" + x86words), {"-initrd", "base.cpio"}, inherited}},
		{"riscv64, more words, another seed and halted", Config{Arch: riscv, Kernel: "vmlinuz", Append: "lab.mode=shell", Seed: 4294967295, Halted: true},
			[][]string{machine("virt", "rv64"), ownTime("4294967295"), kernel(" lab.seed=4294967295 lab.mode=shell"), inherited, {"-S"}}},
		{"for a person", Config{Arch: riscv, Kernel: "vmlinuz", Interactive: true},
			[][]string{machine("virt", "rv64"), {"-icount", "shift=3,sleep=on", "-rtc", clock, "-seed", "0"}, kernel(""),
				{"-chardev", "socket,id=console,fd=3", "-serial", "chardev:console"}, inherited[len(output):]}},
		{"gdb of the user's", Config{Arch: x86, Kernel: "vmlinuz", GDBSocket: "/tmp/a,b"},
			[][]string{machine("pc", "qemu64,+rdrand"), ownTime("0"), kernel(x86words), output,
				{"-chardev", "socket,id=gdb,server=on,wait=off,path=/tmp/a,,b", "-gdb", "chardev:gdb",
					"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control"}}},
		{"memory in a file", Config{Arch: x86, Kernel: "vmlinuz", RAM: os.Stdin},
			[][]string{machine("pc,memory-backend=ram", "qemu64,+rdrand"), ownTime("0"), kernel(x86words), inherited, ram("6", "on")}},
		{"restored", Config{Arch: x86, Kernel: "vmlinuz", Initrd: "base.cpio", RAM: os.Stdin, Incoming: true},
			[][]string{machine("pc,memory-backend=ram", "qemu64,+rdrand"), ownTime("0"), kernel(x86words), inherited, ram("6", "off"), incoming}},
		{"restored, to be saved again", Config{Arch: riscv, Kernel: "vmlinuz", RAM: os.Stdin, Incoming: true, Shared: true},
			[][]string{machine("virt,memory-backend=ram", "rv64"), ownTime("0"), inherited, ram("6", "on"), incoming}},
		{"restored, for gdb of the user's", Config{Arch: x86, Kernel: "vmlinuz", RAM: os.Stdin, Incoming: true, GDBSocket: "g"},
			[][]string{machine("pc,memory-backend=ram", "qemu64,+rdrand"), ownTime("0"), kernel(x86words), output,
				{"-chardev", "socket,id=gdb,server=on,wait=off,path=g", "-gdb", "chardev:gdb",
					"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control"}, ram("5", "off"), incoming}},
		{"both", Config{Arch: x86, Kernel: "vmlinuz", GDBSocket: "g", ConsoleSocket: "c"},
			[][]string{machine("pc", "qemu64,+rdrand"), ownTime("0"), kernel(x86words),
				{"-chardev", "socket,id=console,server=on,wait=off,path=c", "-serial", "chardev:console",
					"-chardev", "socket,id=gdb,server=on,wait=off,path=g", "-gdb", "chardev:gdb",
					"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(slices.Concat(tt.want...), tt.c.Args()); diff != "" {
				t.Errorf("Args -want +got:\n%s", diff)
			}
		})
	}
}

// Machines that differ in what a guest can see are told apart, and others are not.
func TestIdentity(t *testing.T) {
	c := Config{Arch: lookup(t, "x86_64"), Kernel: "vmlinuz", Initrd: "base.cpio"}
	same := func(change func(*Config)) bool {
		other := c
		change(&other)
		return slices.Equal(c.Identity(), other.Identity())
	}
	for name, change := range map[string]func(*Config){
		"a seed": func(c *Config) { c.Seed = 1 }, "processors": func(c *Config) { c.CPUs = 2 },
		"memory": func(c *Config) { c.Memory = 512 }, "words": func(c *Config) { c.Append = "quiet" },
		"no initramfs": func(c *Config) { c.Initrd = "" }, "the host's time": func(c *Config) { c.Interactive = true },
	} {
		if same(change) {
			t.Errorf("%s: one identity", name)
		}
	}
	for name, change := range map[string]func(*Config){
		"names of files": func(c *Config) { c.Kernel, c.Initrd = "other", "files" }, "a socket": func(c *Config) { c.GDBSocket = "g" },
		"halted": func(c *Config) { c.Halted = true }, "another QEMU": func(c *Config) { c.Command = []string{"qemu"} },
	} {
		if !same(change) {
			t.Errorf("%s: two identities", name)
		}
	}
}

func TestReplay(t *testing.T) {
	got := Config{Arch: lookup(t, "x86_64"), Kernel: "/tmp/it's here", Memory: 512}.Replay()
	want := `qemu-system-x86_64 -M pc -cpu qemu64,+rdrand -accel tcg -m 512 -smp 1 -nodefaults -no-user-config -display none -no-reboot ` +
		`-icount shift=3,sleep=off -rtc base=2026-01-01T00:00:00,clock=vm -seed 0 ` +
		`-netdev hubport,id=unused,hubid=0 -object filter-buffer,id=clock,netdev=unused,queue=all,interval=1000 ` +
		`-kernel '/tmp/it'\''s here' -append 'console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4 cryptomgr.notests no_timer_check initcall_blacklist=load_system_certificate_list,jent_mod_init' ` +
		`-serial mon:stdio -gdb unix:gdb.sock,server=on,wait=off`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Replay -want +got:\n%s", diff)
	}
}

// fake writes a program that stands for QEMU.
func fake(t *testing.T, script string) Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu-fake")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return Config{Arch: lookup(t, "x86_64"), Kernel: "vmlinuz", Command: []string{path}}
}

// A command may be more than a program: what follows it comes before QEMU's own
// arguments, and messages name QEMU.
func TestCommand(t *testing.T) {
	c := fake(t, `test "$1 $2" = "--library-path it's" || exit 3; echo "$1 $2 $3" >&2; exit 7`+"\n")
	c.Command = append(c.Command, "--library-path", "it's")
	vm, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	<-vm.Exited()
	want := &ExitError{Binary: "qemu-system-x86_64", State: "exit status 7", Stderr: "--library-path it's -M"}
	if diff := cmp.Diff(error(want), vm.Err()); diff != "" {
		t.Errorf("Err -want +got:\n%s", diff)
	}
	if got, want := c.Replay(), c.Command[0]+` --library-path 'it'\''s' -M pc `; !strings.HasPrefix(got, want) {
		t.Errorf("Replay = %s, want %s first", got, want)
	}
}

// A page of a sparse file that the disk has no room for is a bus error: the message says
// what to do.
func TestNoRoom(t *testing.T) {
	full := &ExitError{Binary: "qemu", State: "signal: bus error", Signal: syscall.SIGBUS}
	if got := full.Error(); !strings.Contains(got, "qemu ended by itself (signal: bus error)") || !strings.Contains(got, "make room on the cache's disk with lab clean, or set LAB_CACHE") {
		t.Error(got)
	}
}

func TestStartMissing(t *testing.T) {
	_, err := Start(t.Context(), Config{Arch: lookup(t, "x86_64"), Command: []string{"qemu-system-none"}})
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("Start = %v, want a *MissingError", err)
	}
	if !strings.Contains(err.Error(), "qemu-system-x86") || !strings.Contains(err.Error(), "lab qemu fetch") {
		t.Errorf("error %q does not say what to install and how", err)
	}
}

func TestEndsByItself(t *testing.T) {
	vm, err := Start(t.Context(), fake(t, "echo no such machine >&2; exit 7\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	select {
	case <-vm.Exited():
	case <-time.After(time.Minute):
		t.Fatal("the process did not end")
	}
	var exit *ExitError
	if !errors.As(vm.Err(), &exit) {
		t.Fatalf("Err = %v, want an *ExitError", vm.Err())
	}
	want := &ExitError{Binary: exit.Binary, State: "exit status 7", Stderr: "no such machine"}
	if diff := cmp.Diff(want, exit); diff != "" {
		t.Errorf("Err -want +got:\n%s", diff)
	}
}

// gone reports whether no process of the group is left.
func gone(pid int) bool { return errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH) }

func TestCloseEnds(t *testing.T) {
	for name, script := range map[string]string{
		"at once":            "exec sleep 60\n",
		"one that is deaf":   "trap '' TERM\nwhile :; do sleep 1; done\n",
		"one with a child":   "sleep 60 &\nwait\n",
		"one that has ended": "exit 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			vm, err := Start(t.Context(), fake(t, script))
			if err != nil {
				t.Fatal(err)
			}
			pid := vm.PID()
			vm.Close()
			vm.Close() // idempotent
			deadline := time.After(time.Minute)
			for tick := time.NewTicker(10 * time.Millisecond); !gone(pid); {
				select {
				case <-tick.C:
				case <-deadline:
					t.Fatalf("process group %d is still there", pid)
				}
			}
			if err := vm.Err(); err != nil {
				t.Errorf("Err after Close = %v, want nil", err)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	vm, err := Start(ctx, fake(t, "exec sleep 60\n"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-vm.Exited():
	case <-time.After(time.Minute):
		t.Fatal("the process outlived its context")
	}
}

// A context outlives the machines that were started with it, and must not keep
// them in memory.
func TestContextForgetsEndedMachine(t *testing.T) {
	for name, script := range map[string]string{
		"closed":          "exec sleep 60\n",
		"ended by itself": "exit 0\n",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			vm, err := Start(ctx, fake(t, script))
			if err != nil {
				t.Fatal(err)
			}
			if name == "closed" {
				vm.Close()
			} else {
				<-vm.Exited()
			}
			machine := weak.Make(vm)
			vm = nil
			hang := time.After(time.Minute)
			for machine.Value() != nil { // the goroutines of the machine may be about to return
				runtime.GC()
				select {
				case <-hang:
					t.Fatal("the machine has ended and is still reachable from its context")
				default:
				}
			}
		})
	}
}

// The console of a machine can only be read, that of one for a person and the
// gdbstub's connection also written.
func TestConnections(t *testing.T) {
	type both interface {
		io.ReadWriter
		SetDeadline(time.Time) error
	}
	echoes := func(t *testing.T, name string, conn both) {
		t.Helper()
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Write([]byte(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		buf := make([]byte, len(name))
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != name {
			t.Errorf("%s echoed %q, %v", name, buf, err)
		}
	}
	for _, interactive := range []bool{false, true} {
		c := fake(t, "cat <&3 >&3 &\ncat <&4 >&4\n")
		if !interactive {
			c = fake(t, "echo booting >&3\ncat <&4 >&4\n")
		}
		c.Interactive = interactive
		vm, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer vm.Close()
		echoes(t, "gdb", vm.GDB())
		if (vm.Console() != nil) != interactive || (vm.Output() == nil) != interactive {
			t.Fatalf("interactive %t: a connection %v, a pipe %v", interactive, vm.Console(), vm.Output())
		}
		if interactive {
			echoes(t, "console", vm.Console())
			continue
		}
		defer vm.Output().Close()
		line, err := bufio.NewReader(vm.Output()).ReadString('\n')
		if err != nil || line != "booting\n" {
			t.Errorf("the console says %q, %v", line, err)
		}
	}
}

// QEMU's warnings about the network that bounds the clock's steps are no last words.
func TestWords(t *testing.T) {
	c := fake(t, "echo 'qemu-system-x86_64: warning: hub port unused has no peer' >&2; exit 0\n")
	vm, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	<-vm.Exited()
	var exit *ExitError
	if !errors.As(vm.Err(), &exit) || !exit.Clean() {
		t.Errorf("Err = %v, want a clean exit", vm.Err())
	}
}

func TestVersion(t *testing.T) {
	c := fake(t, "echo 'QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)'\n")
	if got, err := Version(t.Context(), c.Command); err != nil || got != "7.2.22" {
		t.Errorf("Version = %q, %v, want 7.2.22", got, err)
	}
	c = fake(t, "echo nonsense\n")
	if _, err := Version(t.Context(), c.Command); err == nil {
		t.Error("Version of nonsense gave no error")
	}
}

// A QEMU that never says its version is not waited for once the caller gives up, and
// neither it nor what it has started stays.
func TestVersionHangs(t *testing.T) {
	dir := t.TempDir()
	pipe, script := filepath.Join(dir, "pipe"), filepath.Join(dir, "qemu")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// The pipe has a writer as long as one of the processes is there.
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec 3>"+pipe+"\nsleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Version(ctx, []string{script})
		ended <- err
	}()
	reader, err := os.Open(pipe) // waits for the script
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	reader.SetReadDeadline(time.Now().Add(time.Minute)) // a guard
	if _, err := io.ReadAll(reader); err != nil {
		t.Errorf("a process stays: %v", err)
	}
}

// FuzzMonitor: whatever QEMU says, a command is answered, refused or fails.
func FuzzMonitor(f *testing.F) {
	f.Add([]byte(`{"QMP": {}}{"return": {}}{"event": "STOP"}{"return": {}}`))
	f.Add([]byte(`{"error": {"class": "GenericError", "desc": "no"}}`))
	f.Add([]byte(`{"return": {}}{"return": {}}{"event": "MIGRATION", "data": {"status": "failed"}}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs, err := socketPair()
		if err != nil {
			t.Fatal(err)
		}
		file, err := net.FileConn(theirs)
		if err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		m := newMonitor(ours.(*net.UnixConn))
		defer m.close()
		go func() {
			defer file.Close()
			file.Write(said)
			io.Copy(io.Discard, io.LimitReader(file, 1)) // until the command came
		}()
		err = m.run(t.Context(), []command{{Execute: "migrate"}}, nil, true)
		var refused *QMPError
		if err == nil && !bytes.Contains(said, []byte("completed")) && !bytes.ContainsRune(said, '\\') {
			t.Errorf("a migration that nobody called complete: %q", said)
		}
		if errors.As(err, &refused) && refused.Command == "" {
			t.Errorf("a refusal without its command: %v", err)
		}
	})
}
