package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/gdb"
	"kernellab/harness/inspect"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/trace"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
	"kernellab/internal/usage"
)

// withVmlinux runs a subtest on each cached kernel that has its vmlinux. It skips
// where none has, also under LAB_REQUIRE: the package has 300 MB, and nothing brings it
// unasked.
func withVmlinux(t *testing.T, test func(t *testing.T, a *app, k linux.Kernel, m arch.Arch)) {
	labtest.Long(t)
	found := 0
	for _, m := range arch.All() {
		a := newApp(strings.NewReader(""), os.Stdout, os.Stderr)
		ks, err := linux.In(a.cache).Kernels(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ks {
			if k.Vmlinux == "" {
				continue
			}
			found++
			t.Run(m.Name+"/"+k.Version, func(t *testing.T) {
				labtest.Programs(t, m.Name, gdb.Debugger)
				qemutest.Command(t, m.Name, m.QEMU.Binary)
				test(t, a, k, m)
			})
		}
	}
	if found == 0 {
		t.Skip("no kernel of the cache has its vmlinux, which LAB_REQUIRE does not ask for: `lab kernels fetch --debug` brings it, 300 MB")
	}
}

// Real gdb, on the same vmlinux and the registers and stack at each point of
// fork-new, shows the same functions, lines, arguments and locals.
func TestVariablesAsGDB(t *testing.T) {
	withVmlinux(t, func(t *testing.T, a *app, k linux.Kernel, m arch.Arch) {
		l, err := prepare.Lab("fork-new")
		if err != nil {
			t.Fatal(err)
		}
		host := a.host()
		found, err := host.Open(t.Context(), prepare.Kernels{Arch: m.Name, Names: []string{k.Release}})
		if err != nil {
			t.Fatal(err)
		}
		defer found[0].Image.SaveQueries()
		c := comparison{t: t, kernel: k, arch: m, image: found[0].Image}
		for _, p := range l.Plan(m.Name).Points[:7] {
			c.point = p.Name
			if err := inspect.Guest(t.Context(), host, found[0], prepare.Machine{}, inspect.Place{Lab: l, Point: p.Name}, c.look); err != nil {
				t.Errorf("%s: %v", p.Name, err)
			}
		}
		t.Logf("%d frames, %d values, %d of them numbers that agree; %d that gdb knows and we do not", c.frames, c.values, c.same, c.fewer)
		if c.same < 40 || c.frames < 20 {
			t.Errorf("%d frames and %d numbers are too few to compare", c.frames, c.same)
		}
		if 20*c.fewer > c.values {
			t.Errorf("gdb knows %d values of %d that we do not", c.fewer, c.values)
		}
	})
}

// A vmlinux that is not the kernel's is wrong usage, and says why.
func TestVmlinuxRefused(t *testing.T) {
	onKernel(t, nil, func(t *testing.T, a *app, tg prepare.Target) {
		text := filepath.Join(t.TempDir(), "text")
		if err := os.WriteFile(text, []byte("no kernel"), 0o600); err != nil {
			t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]string{
			self: tg.Image.BuildID, text: "it is not an ELF file", filepath.Join(t.TempDir(), "none"): "no such file",
		} {
			opened, err := a.host().Open(t.Context(), prepare.Kernels{Arch: tg.Arch.Name, Names: []string{tg.Path}, Vmlinux: file})
			if !usage.Is(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want a mistake of usage that says %q", file, err, want)
			}
			if len(opened) != 1 || opened[0].Image.DebugFile() == file {
				t.Errorf("%s was refused and is used", file)
			}
		}
	})
}

type comparison struct {
	t      *testing.T
	kernel linux.Kernel
	image  *kernel.Image
	arch   arch.Arch
	point  string

	frames, values, same, fewer int
}

// look compares at one stop.
func (c *comparison) look(ctx context.Context, s *inspect.Stop) error {
	bottom, top, err := s.View.Stack(ctx, s.Current)
	if err != nil {
		return err
	}
	stack := make([]byte, top-bottom)
	if err := s.View.Read(ctx, bottom, stack); err != nil {
		return err
	}
	regs := maps.Clone(s.Registers)
	if code, err := c.image.Text(regs[c.arch.Registers.PC], 8); err == nil && bytes.Equal(code, bytes.Repeat([]byte{1, 0}, 4)) {
		regs[c.arch.Registers.PC] += 8 // riscv64's nops at the entry, which gdb knows nothing of
	}
	core := filepath.Join(c.t.TempDir(), "core")
	if err := os.WriteFile(core, coreFile(c.arch, regs, bottom, stack), 0o600); err != nil {
		return err
	}
	ours := s.View.BacktraceVariables(ctx, s.Current, s.Registers)
	theirs, err := c.gdb(ctx, core, len(ours))
	if err != nil {
		return err
	}
	c.compare(ours, theirs)
	return nil
}

// gdbFrame is what gdb says of a frame.
type gdbFrame struct {
	function, file string
	line           int
	vars           map[string][]string // values of variables of a name, in gdb's order
}

var (
	frameLine = regexp.MustCompile(`(?m)^#\d+\s+(?:0x[0-9a-f]+ in )?(\S+) \(.*\) at (\S+):(\d+)$`)
	varLine   = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*) = (.*)$`)
)

func (c *comparison) gdb(ctx context.Context, core string, n int) ([]gdbFrame, error) {
	args := []string{"-q", "-batch", "-nx"}
	for _, s := range []string{"width 0", "height 0", "print symbol off", "print entry-values no", "print frame-arguments none"} {
		args = append(args, "-ex", "set "+s)
	}
	for i := range n {
		args = append(args, "-ex", `echo @@frame\n`, "-ex", fmt.Sprint("frame ", i), "-ex", `echo @@vars\n`, "-ex", "info args", "-ex", `echo @@locals\n`, "-ex", "info locals")
	}
	cmd := exec.CommandContext(ctx, gdb.Debugger, append(args, c.kernel.Vmlinux, core)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", gdb.Debugger, err, out)
	}
	var frames []gdbFrame
	for _, part := range strings.Split(string(out), "@@frame\n")[1:] {
		head, vars, _ := strings.Cut(part, "@@vars\n")
		m := frameLine.FindStringSubmatch(head)
		if m == nil {
			break // where gdb has no source it may have no frames either
		}
		f := gdbFrame{function: m[1], file: m[2], vars: map[string][]string{}}
		f.line, _ = strconv.Atoi(m[3])
		// Where a function has none gdb shows those of the file.
		const local = 100
		if strings.Count(vars, "\n") > local {
			vars, _, _ = strings.Cut(vars, "@@locals\n")
		}
		for line := range strings.Lines(vars) {
			if v := varLine.FindStringSubmatch(strings.TrimSpace(line)); v != nil && !strings.HasPrefix(line, " ") {
				f.vars[v[1]] = append(f.vars[v[1]], v[2])
			}
		}
		frames = append(frames, f)
	}
	return frames, nil
}

func (c *comparison) compare(ours []trace.Frame, theirs []gdbFrame) {
	for i, f := range ours {
		if i >= len(theirs) || f.File == "" || f.User {
			break
		}
		g := theirs[i]
		c.frames++
		// Assembly has labels within what its debug information calls a function.
		named := f.Symbol == g.function || strings.HasPrefix(f.Symbol, g.function+".") || strings.HasSuffix(f.File, ".S")
		if !named || f.Line != g.line || !strings.HasSuffix(filepath.Clean(g.file), f.File) {
			c.t.Errorf("%s: frame %d: %s at %s:%d, gdb has %s at %s:%d", c.point, i, f.Symbol, f.File, f.Line, g.function, g.file, g.line)
			continue
		}
		seen := map[string]int{}
		for _, v := range f.Variables {
			n := seen[v.Name]
			seen[v.Name]++
			if n >= len(g.vars[v.Name]) {
				if v.Unread == "" {
					c.t.Errorf("%s: frame %d %s: gdb has no %s, we have %s", c.point, i, f.Symbol, v.Name, v.Text)
				}
				continue
			}
			c.variable(i, f, v, g.vars[v.Name][n])
		}
		for name, values := range g.vars {
			// gdb also names what the compiler left of the function elsewhere.
			if rest := values[min(seen[name], len(values)):]; slices.ContainsFunc(rest, func(v string) bool { return v != "<optimized out>" }) {
				c.t.Errorf("%s: frame %d %s: we lack %s, which gdb has (%s)", c.point, i, f.Symbol, name, values)
			}
		}
	}
}

// number takes what gdb prints of a number, past the type of a pointer.
var number = regexp.MustCompile(`^(?:\([^)]*\)+ )?(-?\w+)`)

func (c *comparison) variable(i int, f trace.Frame, v trace.Variable, theirs string) {
	c.values++
	report := func(what string) {
		c.t.Errorf("%s: frame %d %s (%s): %s %s: %s%s, gdb has %s: %s", c.point, i, f.Symbol, f.PC, v.Type, v.Name, v.Text, v.Unread, theirs, what)
	}
	switch {
	case strings.HasPrefix(theirs, "<optimized out>"):
		if v.Unread == "" {
			report("it is optimized out")
		}
	case strings.HasPrefix(v.Text, "{…}"), strings.HasPrefix(theirs, "{"), strings.HasPrefix(theirs, "<error"), strings.Contains(theirs, "synthetic pointer"):
	case v.Unread != "":
		c.fewer++
		c.t.Logf("%s: frame %d %s (%s): %s %s: %s, gdb has %s", c.point, i, f.Symbol, f.PC, v.Type, v.Name, v.Unread, theirs)
	default:
		m := number.FindStringSubmatch(theirs)
		if m == nil || m[1] != strings.Fields(v.Text)[0] {
			report("they differ")
			return
		}
		c.same++
	}
}

// coreFile makes an ELF core of a stopped CPU: its registers, in the layout of
// struct elf_prstatus, and a stack.
func coreFile(m arch.Arch, regs map[string]uint64, addr uint64, stack []byte) []byte {
	le := binary.LittleEndian
	names := strings.Fields("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip cs eflags rsp ss")
	machine, flags, size := elf.EM_X86_64, uint32(0), 336
	if m.Name == "riscv64" {
		names = strings.Fields("pc ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6")
		machine, flags, size = elf.EM_RISCV, 0x5, 376
	}
	status := make([]byte, size)
	const regsAt, pidAt = 112, 32
	le.PutUint32(status[pidAt:], 1)
	for i, name := range names {
		le.PutUint64(status[regsAt+8*i:], regs[name])
	}
	var note bytes.Buffer
	binary.Write(&note, le, []uint32{5, uint32(size), uint32(elf.NT_PRSTATUS)})
	note.WriteString("CORE\x00\x00\x00\x00")
	note.Write(status)
	const head, ph = 64, 56
	noteAt := uint64(head + 2*ph)
	stackAt := (noteAt + uint64(note.Len()) + 4095) &^ 4095
	var b bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}
	binary.Write(&b, le, elf.Header64{
		Ident: ident, Type: uint16(elf.ET_CORE), Machine: uint16(machine), Version: 1, Phoff: head, Flags: flags,
		Ehsize: head, Phentsize: ph, Phnum: 2,
	})
	binary.Write(&b, le, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: noteAt, Filesz: uint64(note.Len())})
	binary.Write(&b, le, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 6, Off: stackAt, Vaddr: addr, Filesz: uint64(len(stack)), Memsz: uint64(len(stack)), Align: 4096})
	b.Write(note.Bytes())
	b.Write(make([]byte, stackAt-uint64(b.Len())))
	b.Write(stack)
	return b.Bytes()
}
