package rsp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/rsp"
	"kernellab/harness/rsp/rsptest"
	"kernellab/images/qemutest"
)

// A loop is a firmware of three instructions in a loop, which counts in one
// register and in another. It needs no kernel, and its addresses are known.
type loop struct {
	arch     string
	machine  []string
	image    []byte
	start    uint64 // of the loop; the second instruction is at start+step
	step     uint64
	counters [2]string
	pc       string
	system   string // a register that is read with p
}

var loops = []loop{x86Loop(), riscvLoop()}

// x86Loop runs from the reset vector in real mode, by way of a flat 32-bit
// segment, to the loop.
func x86Loop() loop {
	const code, flat, gdt, gdtr = 0xff00, 0xff40, 0xff80, 0xffa0
	image := make([]byte, 1<<16)
	put := func(at int, b ...byte) { copy(image[at:], b) }
	put(0xfff0, 0xe9, 0x0d, 0xff) // jmp code
	put(code,
		0xfa,                                             // cli
		0x2e, 0x66, 0x0f, 0x01, 0x16, gdtr&0xff, gdtr>>8, // lgdt cs:[gdtr]
		0x0f, 0x20, 0xc0, // mov eax, cr0
		0x0c, 0x01, // or al, 1
		0x0f, 0x22, 0xc0, // mov cr0, eax
		0x66, 0xea, flat&0xff, flat>>8, 0x0f, 0x00, 0x08, 0x00) // jmp 8:000fff40
	put(flat,
		0x66, 0xb8, 0x10, 0x00, // mov ax, 16
		0x8e, 0xd8, // mov ds, ax
		0x8e, 0xd0, // mov ss, ax
		0x31, 0xc9, 0x31, 0xdb, // xor ecx, ecx; xor ebx, ebx
		0x41, 0x43, 0xeb, 0xfc) // inc ecx; inc ebx; jmp -4
	binary.LittleEndian.PutUint64(image[gdt+8:], 0x00cf9a000000ffff)
	binary.LittleEndian.PutUint64(image[gdt+16:], 0x00cf92000000ffff)
	binary.LittleEndian.PutUint16(image[gdtr:], 23)
	binary.LittleEndian.PutUint32(image[gdtr+2:], 0xf0000+gdt)
	return loop{
		arch: "x86_64", machine: []string{"-machine", "q35"}, image: image,
		start: 0xf0000 + flat + 12, step: 1,
		counters: [2]string{"rcx", "rbx"}, pc: "rip", system: "cr0",
	}
}

func riscvLoop() loop {
	var image []byte
	for _, insn := range []uint32{
		0x00000513, // li a0, 0
		0x00000593, // li a1, 0
		0x00150513, // addi a0, a0, 1
		0x00158593, // addi a1, a1, 1
		0xff9ff06f, // j -8
	} {
		image = binary.LittleEndian.AppendUint32(image, insn)
	}
	return loop{
		arch: "riscv64", machine: []string{"-machine", "virt"}, image: image,
		start: 0x80000008, step: 4,
		counters: [2]string{"a0", "a1"}, pc: "pc", system: "priv",
	}
}

// qemuCommand finds QEMU. Without it the test is skipped, or fails where LAB_REQUIRE
// names the architecture.
func qemuCommand(t testing.TB, arch string) []string {
	t.Helper()
	return qemutest.Command(t, arch, "qemu-system-"+arch)
}

// A guest is a QEMU whose stub talks to conn.
type guest struct {
	conn    net.Conn
	monitor net.Conn // QEMU's monitor for people
	qmp     net.Conn // and for programs
	cmd     *exec.Cmd
}

// status returns the monitor's "VM status: running" and the like.
func (g *guest) status(t testing.TB) string {
	t.Helper()
	lines := g.ask(t, "info status", isStatus)
	return lines[len(lines)-1]
}

// programCounters returns those of a riscv64 machine's harts, in hex.
func (g *guest) programCounters(t testing.TB) []string {
	t.Helper()
	var all []string
	if _, err := g.monitor.Write([]byte("info registers -a\n")); err != nil {
		t.Fatal(err)
	}
	for _, line := range g.ask(t, "info status", isStatus) {
		if pc, ok := strings.CutPrefix(line, "pc "); ok {
			all = append(all, strings.TrimSpace(pc))
		}
	}
	return all
}

func isStatus(line string) bool { return strings.HasPrefix(line, "VM status") }

// ask gives QEMU's monitor a command and returns the lines that it says, to the last.
func (g *guest) ask(t testing.TB, command string, last func(line string) bool) []string {
	t.Helper()
	if err := g.monitor.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.monitor.Write([]byte(command + "\n")); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(g.monitor)
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("monitor: %v after %q", err, line)
		}
		line = strings.TrimSpace(line)
		lines = append(lines, line)
		if last(line) {
			return lines
		}
	}
}

// boot starts QEMU with its stub on a socketpair. It is ended with the test,
// which prints the command line if it failed.
func boot(t testing.TB, arch string, args ...string) *guest {
	t.Helper()
	words := qemuCommand(t, arch)
	g := &guest{}
	conn, stub := inherited(t)
	monitor, theirs := inherited(t)
	qmp, qmpTheirs := inherited(t)
	defer qmpTheirs.Close()
	defer stub.Close() // QEMU has the only other copy: its end is our EOF
	defer theirs.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, words[0], slices.Concat(words[1:], []string{
		"-display", "none", "-nodefaults", "-no-reboot",
		"-chardev", "socket,id=gdb0,fd=3", "-gdb", "chardev:gdb0",
		"-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor",
		"-chardev", "socket,id=qmp,fd=5", "-mon", "chardev=qmp,mode=control",
	}, args)...)
	cmd.ExtraFiles = []*os.File{stub, theirs, qmpTheirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	g.conn, g.monitor, g.qmp, g.cmd = conn, monitor, qmp, cmd
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed; what it said is in stderr
		if t.Failed() {
			t.Logf("replay with: %s\n%s", cmd, stderr.String())
		}
	})
	return g
}

// inherited is a socketpair of which QEMU gets one end as a file.
func inherited(t testing.TB) (net.Conn, *os.File) {
	t.Helper()
	ours, theirs := rsptest.Socketpair(t)
	f, err := theirs.(*net.UnixConn).File()
	if err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	return ours, f
}

func (l loop) boot(t testing.TB, args ...string) *guest {
	t.Helper()
	firmware := filepath.Join(t.TempDir(), "loop.bin")
	if err := os.WriteFile(firmware, l.image, 0o600); err != nil {
		t.Fatal(err)
	}
	return boot(t, l.arch, slices.Concat(l.machine, []string{"-bios", firmware}, args)...)
}

// attach starts a client whose packets go to the test's log when it fails.
func attach(t testing.TB, conn net.Conn, o rsp.Options) *rsp.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := rsp.New(ctx, conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
