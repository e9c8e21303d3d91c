package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/harness/kernel/kerneltest"
)

// TestGDB boots each kernel under QEMU, from reset, and has gdb break, name and
// unwind by the symbol file alone. What gdb says of the stack is then compared
// with what Backtrace makes of the same registers and memory. There is no
// initramfs: the kernel makes its first threads without one.
func TestGDB(t *testing.T) {
	if testing.Short() {
		t.Skip("boots kernels, which -short leaves out")
	}
	commands := map[string]string{
		"x86_64":  "qemu-system-x86_64 -M pc -m 256",
		"riscv64": "qemu-system-riscv64 -M virt -m 256",
	}
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			gdb := kerneltest.Program(t, arch, "gdb-multiarch", "gdb")
			kerneltest.Program(t, arch, strings.Fields(commands[arch])[0])
			for _, path := range kerneltest.Images(t, arch) {
				im, err := Open(path)
				if err != nil {
					t.Error(err)
					continue
				}
				t.Run(im.Release, func(t *testing.T) { tryGDB(t, gdb, commands[arch], path, im) })
			}
		})
	}
}

func tryGDB(t *testing.T, gdb, qemu, path string, im *Image) {
	dir := t.TempDir()
	symbols, stack, pidfile := filepath.Join(dir, "kernel.sym"), filepath.Join(dir, "stack"), filepath.Join(dir, "qemu.pid")
	f, err := os.Create(symbols)
	if err != nil {
		t.Fatal(err)
	}
	if err := im.WriteSymbolFile(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dup, err := im.Resolve("dup_task_struct")
	if err != nil {
		t.Fatal(err)
	}
	const skip = 8 // forks, so that kthreadd is the one that forks
	qemu += fmt.Sprintf(" -S -nodefaults -display none -no-reboot -kernel %s -append 'nokaslr oops=panic panic=-1' -pidfile %s -gdb stdio", path, pidfile)
	args := []string{"-nx", "-batch"}
	for _, c := range []string{
		"set pagination off", "set confirm off", "set remotetimeout 60", "file " + symbols, "target remote | exec " + qemu,
		"info symbol copy_process", "break *kernel_clone", "continue", "info symbol $pc", "delete",
		fmt.Sprintf("break *%#x", dup.Addr), fmt.Sprintf("ignore 2 %d", skip), "continue",
		"echo BACKTRACE\\n", "backtrace", "echo REGISTERS\\n", "info registers",
		"set $here = (unsigned long)$sp",
		fmt.Sprintf("dump binary memory %s $here ($here&~0xfff)+0x1000", stack), "kill",
	} {
		args = append(args, "-ex", c)
	}
	// A stock kernel under TCG may oops by itself, so it gets another chance.
	const attempts = 3
	var text string
	for try := 1; !strings.Contains(text, "REGISTERS"); try++ {
		var err error
		text, err = runGDB(t, gdb, args, pidfile)
		// QEMU may be gone before gdb has read that it was killed.
		if !strings.Contains(text, "REGISTERS") && try == attempts {
			t.Fatalf("gdb, %d times: %v\n%s\nreplay: %s %q", attempts, err, text, gdb, args)
		}
	}
	for _, want := range []string{
		"copy_process in section .text",
		fmt.Sprintf("Breakpoint 1 at %#x", im.Symbols.Named("kernel_clone")[0].Addr),
		"kernel_clone in section .text",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("gdb does not say %q", want)
		}
	}
	compareBacktraces(t, im, text, readSome(t, stack, 1<<20))
	if t.Failed() {
		t.Logf("%s\nreplay: %s %q", text, gdb, args)
	}
}

// runGDB runs gdb, which starts QEMU in a session of its own and ends it when
// all goes well.
func runGDB(t *testing.T, gdb string, args []string, pidfile string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, gdb, args...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	// QEMU removes the file when it exits.
	if b, err := os.ReadFile(pidfile); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.Remove(pidfile)
	}
	return string(out), err
}

func compareBacktraces(t *testing.T, im *Image, text string, stack []byte) {
	_, after, _ := strings.Cut(text, "BACKTRACE\n")
	trace, registers, _ := strings.Cut(after, "REGISTERS\n")
	var theirs []string
	for _, m := range regexp.MustCompile(`(?m)^#\d+ +(?:0x[0-9a-f]+ in )?([\w.]+|<signal handler called>)`).FindAllStringSubmatch(trace, -1) {
		theirs = append(theirs, m[1])
	}
	regs := make(map[string]uint64)
	for _, m := range regexp.MustCompile(`(?m)^(\w+) +(0x[0-9a-f]+)`).FindAllStringSubmatch(registers, -1) {
		if v, err := strconv.ParseUint(m[2], 0, 64); err == nil {
			regs[m[1]] = v
		}
	}
	pc, sp := regs["pc"], regs["sp"]
	if im.Arch == "x86_64" {
		pc, sp = regs["rip"], regs["rsp"]
	}
	read := func(addr uint64) (uint64, error) {
		if off := addr - sp; addr >= sp && off+8 <= uint64(len(stack)) {
			return le.Uint64(stack[off:]), nil
		}
		return 0, fmt.Errorf("%#x is not on the stack", addr)
	}
	frames, err := im.Backtrace(pc, regs, read)
	if err != nil {
		t.Errorf("backtrace: %v", err)
	}
	var ours []string
	for _, f := range frames {
		ours = append(ours, f.Symbol)
	}
	t.Logf("%s: %s", im, strings.Join(ours, " < "))
	if want := []string{"copy_process", "kernel_clone"}; len(ours) < 5 || ours[1] != want[0] || ours[2] != want[1] || !strings.HasPrefix(ours[len(ours)-1], "ret_from_") {
		t.Errorf("backtrace is %q, want one from %q out to ret_from_fork", ours, want)
	}
	for i, name := range ours {
		// gdb names no function where it takes a frame for a signal's.
		if i >= len(theirs) || theirs[i] != name && theirs[i] != "<signal handler called>" {
			t.Errorf("frame %d: ours is %q, gdb's trace is %q", i, name, theirs)
			break
		}
	}
	if bytes.Contains([]byte(trace), []byte("Backtrace stopped")) {
		t.Errorf("gdb stopped early: %q", theirs)
	}
}
