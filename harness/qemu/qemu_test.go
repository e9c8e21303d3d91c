package qemu

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
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
			"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", "vmlinuz"}
	}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	inherited := []string{"-chardev", "socket,id=console,fd=3", "-serial", "chardev:console", "-chardev", "socket,id=gdb,fd=4", "-gdb", "chardev:gdb",
		"-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control"}
	inFile := machine("pc,memory-backend=ram", "qemu64")
	parcel := func(object string) []string {
		return []string{"-object", object, "-device", "ivshmem-plain,memdev=parcel,master=on"}
	}
	empty := parcel("memory-backend-ram,id=parcel,size=16M,share=on")
	tests := []struct {
		name string
		c    Config
		want []string
	}{
		{"x86_64", Config{Arch: x86, Kernel: "vmlinuz", Initrd: "base.cpio"},
			join(machine("pc", "qemu64"), []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4", "-initrd", "base.cpio"}, inherited, empty)},
		{"with a parcel", Config{Arch: x86, Kernel: "vmlinuz", Parcel: os.Stdin},
			join(machine("pc", "qemu64"), []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4"}, inherited,
				parcel("memory-backend-file,id=parcel,size=16M,mem-path=/proc/self/fd/6,share=off"))},
		{"riscv64, more words and halted", Config{Arch: riscv, Kernel: "vmlinuz", Append: "lab.mode=shell", Halted: true},
			join(machine("virt", "rv64"), []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4 lab.mode=shell"}, inherited, empty, []string{"-S"})},
		{"gdb of the user's", Config{Arch: x86, Kernel: "vmlinuz", GDBSocket: "/tmp/a,b"},
			join(machine("pc", "qemu64"), []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4",
				"-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
				"-chardev", "socket,id=gdb,server=on,wait=off,path=/tmp/a,,b", "-gdb", "chardev:gdb",
				"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control"}, empty)},
		{"memory in a file", Config{Arch: x86, Kernel: "vmlinuz", RAM: os.Stdin},
			join(inFile, []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4"}, inherited, []string{
				"-object", "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/6,share=on"}, empty)},
		{"restored with a parcel", Config{Arch: x86, Kernel: "vmlinuz", RAM: os.Stdin, Incoming: true, Parcel: os.Stdin},
			join(inFile, []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4"}, inherited, []string{
				"-object", "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/6,share=off"},
				parcel("memory-backend-file,id=parcel,size=16M,mem-path=/proc/self/fd/7,share=off"), []string{"-incoming", "defer", "-S"})},
		{"restored, for gdb of the user's", Config{Arch: x86, Kernel: "vmlinuz", RAM: os.Stdin, Incoming: true, GDBSocket: "g"},
			join(inFile, []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4",
				"-chardev", "socket,id=console,fd=3", "-serial", "chardev:console",
				"-chardev", "socket,id=gdb,server=on,wait=off,path=g", "-gdb", "chardev:gdb",
				"-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control",
				"-object", "memory-backend-file,id=ram,size=256M,mem-path=/proc/self/fd/5,share=off"},
				parcel("memory-backend-ram,id=parcel,size=16M,share=off"), []string{"-incoming", "defer", "-S"})},
		{"both", Config{Arch: x86, Kernel: "vmlinuz", GDBSocket: "g", ConsoleSocket: "c"},
			join(machine("pc", "qemu64"), []string{"-append", "console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4",
				"-chardev", "socket,id=console,server=on,wait=off,path=c", "-serial", "chardev:console",
				"-chardev", "socket,id=gdb,server=on,wait=off,path=g", "-gdb", "chardev:gdb",
				"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"}, empty)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.c.Args()); diff != "" {
				t.Errorf("Args -want +got:\n%s", diff)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	got := Config{Arch: lookup(t, "x86_64"), Kernel: "/tmp/it's here", Memory: 512}.Replay()
	want := `qemu-system-x86_64 -M pc -cpu qemu64 -accel tcg -m 512 -smp 1 -nodefaults -no-user-config -display none -no-reboot ` +
		`-kernel '/tmp/it'\''s here' -append 'console=ttyS0 nokaslr oops=panic panic=-1 loglevel=4' ` +
		`-object memory-backend-ram,id=parcel,size=16M,share=on -device ivshmem-plain,memdev=parcel,master=on ` +
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
	case <-time.After(10 * time.Second):
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
			deadline := time.After(10 * time.Second)
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
	case <-time.After(10 * time.Second):
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

// The connections are sockets with both ends working.
func TestConnections(t *testing.T) {
	vm, err := Start(t.Context(), fake(t, "cat <&3 >&3 &\ncat <&4 >&4\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	for name, conn := range map[string]interface {
		Read([]byte) (int, error)
		Write([]byte) (int, error)
		SetDeadline(time.Time) error
	}{"console": vm.Console(), "gdb": vm.GDB()} {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write([]byte(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		buf := make([]byte, len(name))
		if _, err := conn.Read(buf); err != nil || string(buf) != name {
			t.Errorf("%s echoed %q, %v", name, buf, err)
		}
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
