// Package machinetest makes up machines for tests that need no QEMU: a gdbstub, a
// memory, and a guest whose agent speaks package mailbox and does what the test
// says. There is no processor in it: a guest is a list of events.
//
// The kernel is a made one of riscv64. What a test cannot learn from it is what an
// emulator and a kernel do by themselves; harness/machine's live tests are for that.
package machinetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/harness/machine"
	"kernellab/harness/qemu"
	"kernellab/images/guest/mailbox"
)

// Event is something that a running guest does. It returns true when the guest
// stands then.
type Event func(vm *VM) (stands bool)

// Guest is what a made machine's guest does. The zero value boots and answers.
type Guest struct {
	// Boot comes before the agent's first mark.
	Boot []Event
	// Serve answers a request to the agent; nil is [Serve].
	Serve func(mailbox.Request) []Event
	// Fail, if set, is asked before "start", "save", "restore" and "align" of a
	// machine.
	Fail func(op string) error
	// Functions are the kernel's beside those that a machine needs, as
	// [kerneltest.Made] takes them, and Structs its types; nil is those that a machine
	// needs.
	Functions []string
	Structs   []kerneltest.Struct
	// Step is what the debugger's step of one instruction does; nil moves the PC on.
	Step func(vm *VM)
	// Mute is a machine whose gdbstub never answers.
	Mute bool
}

// Serve is an agent that makes process 83 of every program, which prints "hello",
// and has no files.
func Serve(r mailbox.Request) []Event {
	switch r.Op {
	case mailbox.OpStart:
		return []Event{Answer(mailbox.Reply{PID: 83}, "")}
	case mailbox.OpRun:
		exit := &mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 5}}}
		return []Event{Answer(mailbox.Reply{PID: r.PID, Exit: exit}, "hello")}
	case mailbox.OpStore:
		return []Event{Answer(mailbox.Reply{}, "")}
	}
	return []Event{Answer(mailbox.Reply{Error: fmt.Sprintf("no %s here", r.Op)}, "")}
}

// Print writes to the console.
func Print(text string) Event {
	return func(vm *VM) bool { vm.console.Write([]byte(text)); return false }
}

// Answer is the agent's message, at its mark.
func Answer(r mailbox.Reply, blob string) Event {
	return func(vm *VM) bool {
		b := make([]byte, mailbox.Pages*mailbox.PageSize)
		if err := mailbox.Put(b, mailbox.Join(&r, []byte(blob))); err != nil {
			panic(err) // the test's mistake
		}
		for _, p := range mailPages() {
			b = b[copy(vm.page(p), b):]
		}
		vm.atMark(agentTask, directory)
		return vm.breaks[vm.mark]
	}
}

// Stranger is a program that makes the agent's system call.
func Stranger(vm *VM) bool {
	vm.atMark(otherTask, 0xbad000)
	return vm.breaks[vm.mark]
}

// Stop stands at an address for no reason.
func Stop(addr uint64) Event {
	return func(vm *VM) bool { vm.set("pc", addr); return true }
}

// At brings the guest to an address with these registers, and it stands there if the
// debugger has a breakpoint there.
func At(addr uint64, regs map[string]uint64) Event {
	return func(vm *VM) bool {
		for name, v := range regs {
			vm.set(name, v)
		}
		vm.set("pc", addr)
		return vm.breaks[addr]
	}
}

// Load changes the guest's memory.
func Load(addr uint64, b []byte) Event {
	return func(vm *VM) bool { vm.load(addr, b); return false }
}

// Set changes a register.
func (vm *VM) Set(register string, v uint64) { vm.set(register, v) }

// Hang is the end of what the guest does, though it runs.
func Hang(vm *VM) bool { vm.hung = true; return false }

// Exit ends QEMU: with "exit status 0" in order, as a guest does that resets.
func Exit(state string) Event {
	e := &qemu.ExitError{Binary: "made", State: state}
	for s := syscall.Signal(1); s < 32; s++ {
		if state == "signal: "+s.String() {
			e.Signal = s
		}
	}
	return func(vm *VM) bool { vm.end(e); return true }
}

// Run is the guest's clock running on by d, and as much processor time.
func Run(d time.Duration) Event {
	return func(vm *VM) bool { return vm.pass(d, d) }
}

// Idle lets the guest's clock pass, as Run does, and uses nothing of the host's processor.
func Idle(d time.Duration) Event {
	return func(vm *VM) bool { return vm.pass(d, 0) }
}

func (vm *VM) pass(clock, used time.Duration) bool {
	const counter = 0x101000
	vm.mu.Lock()
	defer vm.mu.Unlock()
	vm.used += used
	vm.now = int64(binary.LittleEndian.Uint64(vm.page(counter))) + int64(clock)
	binary.LittleEndian.PutUint64(vm.page(counter), uint64(vm.now))
	return false
}

// Panic is a kernel's death under -no-reboot.
func Panic(vm *VM) bool {
	Print("[    1.5] Kernel panic - not syncing: made up\n[    1.5] ---[ end Kernel panic - not syncing: made up ]---\n")(vm)
	return Exit("exit status 0")(vm)
}

// The memory of a made guest, physical addresses first.
const (
	directory    = 0x8000_1000
	firstMail    = 0x8001_0000
	firstLanding = 0x9000_0000
	landingPages = 4

	agentTask = 0xffffffd8_00001000
	otherTask = 0xffffffd8_00002000
	callRegs  = 0xffffffd8_00003000
)

func mailPages() []uint64 { return pages(firstMail, mailbox.Pages) }

func pages(first uint64, n int) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = first + uint64(i)*mailbox.PageSize
	}
	return all
}

// Landing are the physical addresses of the landing's pages.
func Landing() []uint64 { return pages(firstLanding, landingPages) }

// structs are what is read of the made kernel.
func structs() []kerneltest.Struct {
	return []kerneltest.Struct{
		{Name: "task_struct", Size: taskBytes, Members: []kerneltest.Member{
			{Name: "pid", Size: 4}, {Name: "tgid", Offset: 4, Size: 4}, {Name: "comm", Offset: 8, Size: 1, Count: 16},
		}},
		{Name: "pt_regs", Size: firstArg + 8, Members: []kerneltest.Member{
			{Name: "epc", Size: 8}, {Name: "orig_a0", Offset: firstArg, Size: 8},
		}},
	}
}

const (
	taskBytes = 24
	firstArg  = 8 // offset of a system call's first argument in pt_regs
)

// Spec returns a made machine, of which g says what it does. It keeps no snapshots.
func Spec(t testing.TB, g Guest) machine.Spec {
	t.Helper()
	a, err := arch.Lookup("riscv64")
	if err != nil {
		t.Fatal(err)
	}
	types := g.Structs
	if types == nil {
		types = structs()
	}
	raw, err := kerneltest.Made(append([]string{"__riscv_sys_sethostname"}, g.Functions...), types)
	if err != nil {
		t.Fatal(err)
	}
	image, err := kernel.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	// What a snapshot's key is made from.
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return machine.Spec{
		Arch: a, Image: image, Kernel: file("vmlinuz", string(raw)), Initrd: file("initrd", "made"),
		QEMU: []string{file("qemu", "#!/bin/sh\necho QEMU emulator version 10.0.0\n")}, Emulate: g.start(image),
	}
}

// start starts machines of an image.
func (g Guest) start(image *kernel.Image) func(context.Context, qemu.Config) (machine.Emulator, error) {
	return func(ctx context.Context, c qemu.Config) (machine.Emulator, error) {
		mark, err := image.Resolve(mailbox.Mark)
		if err == nil {
			err = g.fail("start")
		}
		if err != nil {
			return nil, err
		}
		vm, err := newVM(g, mark.Addr)
		if err != nil {
			return nil, err
		}
		if !c.Incoming {
			vm.load(agentTask, task(1, "init"))
			vm.load(otherTask, task(90, "stranger"))
			code, err := image.Text(mark.Addr, 16)
			if err != nil {
				return nil, err
			}
			vm.load(mark.Addr, code)
			vm.events = append(append(vm.events, g.Boot...), Answer(mailbox.Reply{Landing: Landing()}, ""))
			copy(vm.page(directory), mailbox.Directory(mailPages()))
		}
		stop := context.AfterFunc(ctx, func() { vm.Close() })
		go func() {
			defer stop()
			vm.serve()
		}()
		return vm, nil
	}
}

func (g Guest) fail(op string) error {
	if g.Fail == nil {
		return nil
	}
	return g.Fail(op)
}

func task(pid uint32, comm string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, pid)
	b = binary.LittleEndian.AppendUint32(b, pid)
	return append(append(b, comm...), make([]byte, taskBytes)...)[:taskBytes]
}
