package labs_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/internal/labtest"
	"kernellab/labs"
)

var update = flag.Bool("update", false, "rewrite the scripts in gdbscripts")

// candidates reads the symbols that may stand for each point from the kernel
// package's table.
func candidates(t *testing.T, arch string) func(string) ([]string, error) {
	t.Helper()
	data, err := os.ReadFile("../harness/kernel/points.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var points []struct {
		Point      string `yaml:"point"`
		Candidates []struct {
			Symbol string `yaml:"symbol"`
			Arch   string `yaml:"arch"`
		} `yaml:"candidates"`
	}
	if err := yaml.Unmarshal(data, &points); err != nil {
		t.Fatal(err)
	}
	return func(point string) ([]string, error) {
		for _, p := range points {
			if p.Point != point {
				continue
			}
			var names []string
			for _, c := range p.Candidates {
				if c.Arch == "" || c.Arch == arch {
					names = append(names, c.Symbol)
				}
			}
			return names, nil
		}
		return []string{point}, nil // a function of the kernel
	}
}

func TestGDBScripts(t *testing.T) {
	for _, l := range all(t) {
		for _, a := range arch.Names() {
			got, err := l.GenerateGDBScript(a, candidates(t, a))
			if err != nil {
				t.Error(err)
				continue
			}
			file := filepath.Join("..", "gdbscripts", l.Name+"."+a+".gdb")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := l.GDBScript(a)
			if err != nil {
				t.Error(err)
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s is stale: run go test ./labs -run TestGDBScripts -update (-file +lab):\n%s", file, diff)
			}
		}
	}
}

// TestGDBScriptInGDB has gdb read every script against kernels that only consist
// of symbols.
func TestGDBScriptInGDB(t *testing.T) {
	const gdb = "gdb-multiarch"
	machines := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "riscv64": elf.EM_RISCV}
	for _, l := range all(t) {
		for _, a := range arch.Names() {
			t.Run(l.Name+"/"+a, func(t *testing.T) {
				labtest.Programs(t, a, gdb)
				script, err := filepath.Abs(filepath.Join("..", "gdbscripts", l.Name+"."+a+".gdb"))
				if err != nil {
					t.Fatal(err)
				}
				var symbols, places []string
				find := candidates(t, a)
				points := scripted(t, l, script)
				for _, p := range points {
					if slices.Contains(places, p.Place) {
						continue
					}
					names, err := find(p.Place)
					if err != nil {
						t.Fatal(err)
					}
					symbols, places = append(symbols, names[len(names)-1]), append(places, p.Place)
				}
				machine, err := arch.Lookup(a)
				if err != nil {
					t.Fatal(err)
				}
				symbols = append(symbols, machine.Current.PerCPU...)
				kernel := filepath.Join(t.TempDir(), "vmlinux")
				if err := os.WriteFile(kernel, fakeKernel(t, machines[a], symbols), 0o644); err != nil {
					t.Fatal(err)
				}
				set := "set architecture " + machine.GDB
				out := runGDB(t, gdb, "-ex", set, "-ex", "symbol-file "+kernel, "-x", script, "-ex", "info breakpoints")
				for i, p := range points {
					at := symbolAddress(slices.Index(places, p.Place))
					line := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +breakpoint +keep (y|n) +%#016x`, i+1, at)).FindStringSubmatch(out)
					if line == nil {
						t.Fatalf("no breakpoint at %s:\n%s", p.Name, out)
					}
					if enabled := line[1] == "y"; enabled != p.Entry {
						t.Errorf("the breakpoint at %s is enabled: %v", p.Name, enabled)
					}
				}
				lacking := slices.Clone(symbols)
				gone := min(2, len(places)-1)
				lacking[gone] = "something_else"
				if err := os.WriteFile(kernel, fakeKernel(t, machines[a], lacking), 0o644); err != nil {
					t.Fatal(err)
				}
				out = runGDB(t, gdb, "-ex", set, "-ex", "symbol-file "+kernel, "-x", script)
				if want := "point " + places[gone] + ": this kernel has none of"; !strings.Contains(out, want) {
					t.Errorf("gdb does not say %q:\n%s", want, out)
				}
			})
		}
	}
}

// scripted returns the points of a lab that its script stops at, in order. It
// has to say what became of the others.
func scripted(t *testing.T, l labs.Lab, script string) []labs.Point {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var out []labs.Point
	for _, p := range l.Points {
		switch {
		case bytes.Contains(text, []byte("set $break_"+p.Name+" = $bpnum\n")):
			out = append(out, p)
		case !bytes.Contains(text, []byte("# - "+p.Name+": ")):
			t.Errorf("%s has no breakpoint at %s and does not say why", script, p.Name)
		}
	}
	return out
}

func runGDB(t *testing.T, gdb string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), gdb, append([]string{"-nx", "-batch"}, args...)...).CombinedOutput()
	if err != nil {
		t.Logf("%v", err)
	}
	return string(out)
}

func symbolAddress(i int) uint64 { return 0xffffffff81000000 + uint64(i)*0x100 }

// fakeKernel returns an ELF file with symbols at symbolAddress and no code.
func fakeKernel(t *testing.T, machine elf.Machine, symbols []string) []byte {
	t.Helper()
	strtab := []byte{0}
	syms := []elf.Sym64{{}}
	for i, s := range symbols {
		syms = append(syms, elf.Sym64{
			Name: uint32(len(strtab)), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1,
			Value: symbolAddress(i), Size: 0x100,
		})
		strtab = append(append(strtab, s...), 0)
	}
	names := []byte("\x00.text\x00.symtab\x00.strtab\x00.shstrtab\x00")
	name := func(s string) uint32 { return uint32(bytes.Index(names, []byte(s+"\x00"))) }
	const head, entry = 64, 24
	at := uint64(head)
	symtab := elf.Section64{Name: name(".symtab"), Type: uint32(elf.SHT_SYMTAB), Off: at, Size: uint64(len(syms) * entry), Link: 3, Info: 1, Entsize: entry, Addralign: 8}
	at += symtab.Size
	strs := elf.Section64{Name: name(".strtab"), Type: uint32(elf.SHT_STRTAB), Off: at, Size: uint64(len(strtab))}
	at += strs.Size
	shstr := elf.Section64{Name: name(".shstrtab"), Type: uint32(elf.SHT_STRTAB), Off: at, Size: uint64(len(names))}
	at += shstr.Size
	text := elf.Section64{
		Name: name(".text"), Type: uint32(elf.SHT_NOBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR),
		Addr: symbolAddress(0), Off: head, Size: 0x10000, Addralign: 16,
	}
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: symbolAddress(0), Shoff: at,
		Ehsize: head, Shentsize: 64, Shnum: 5, Shstrndx: 4,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var b bytes.Buffer
	for _, part := range []any{h, syms, strtab, names, elf.Section64{}, text, symtab, strs, shstr} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestGenerateGDBScriptRefuses(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	one := func(string) ([]string, error) { return []string{"x"}, nil }
	if _, err := l.GenerateGDBScript("s390x", one); err == nil {
		t.Error("a script for s390x")
	}
	none := func(string) ([]string, error) { return nil, nil }
	if _, err := l.GenerateGDBScript("x86_64", none); err == nil || !strings.Contains(err.Error(), "no candidates") {
		t.Errorf("error %v, want one about candidates", err)
	}
	l.Points = slices.Clone(l.Points)
	l.Points[0].When = labs.ByArch{"": "task.comm matches 'x'"}
	if _, err := l.GenerateGDBScript("x86_64", one); err == nil || !strings.Contains(err.Error(), "sys_clone: when: ") {
		t.Errorf("error %v, want one about the condition", err)
	}
	if _, err := (labs.Lab{Name: "none"}).GDBScript("x86_64"); err == nil {
		t.Error("a script of no lab")
	}
}
