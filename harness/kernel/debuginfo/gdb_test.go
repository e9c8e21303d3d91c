package debuginfo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/kernel/debuginfo"
	"kernellab/harness/kernel/kerneltest"
	"kernellab/internal/labtest"
)

// gdb runs gdb without anybody's settings.
func gdb(t testing.TB, file string, commands ...string) string {
	t.Helper()
	path := ""
	for _, name := range []string{"gdb-multiarch", "gdb"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		labtest.Lacking(t, "x86_64", "gdb is not installed: lab doctor --install brings it")
	}
	script := filepath.Join(t.TempDir(), "commands")
	text := "set width 0\nset height 0\nset debuginfod enabled off\n" + strings.Join(commands, "\n") + "\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "-q", "-batch", "-nx", "-x", script, file).CombinedOutput()
	if err != nil {
		t.Fatalf("gdb: %v\n%s", err, out)
	}
	return string(out)
}

func open(t testing.TB, path string, o debuginfo.Options) *debuginfo.File {
	t.Helper()
	f, err := debuginfo.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var lineOf = regexp.MustCompile(`^(?:Line (\d+) of "([^"]*)"|No line number information|Address )`)

// sameLines compares the lines of addresses with gdb's, and returns how many
// have one.
func sameLines(t *testing.T, f *debuginfo.File, addrs []uint64) (known int) {
	t.Helper()
	var commands []string
	for _, a := range addrs {
		commands = append(commands, fmt.Sprintf("info line *%#x", a))
	}
	var answers []string
	for line := range strings.Lines(gdb(t, f.Path, commands...)) {
		if lineOf.MatchString(line) {
			answers = append(answers, line)
		}
	}
	if len(answers) != len(addrs) {
		t.Fatalf("gdb answered %d of %d questions", len(answers), len(addrs))
	}
	wrong := 0
	for i, a := range addrs {
		m := lineOf.FindStringSubmatch(answers[i])
		want, _ := strconv.Atoi(m[1])
		found, err := f.Lookup(a)
		if err != nil {
			t.Fatalf("%#x: %v", a, err)
		}
		var got debuginfo.Location
		if len(found) > 0 {
			got = found[0]
		}
		if got.Line != 0 {
			known++
		}
		if got.Line != want || want != 0 && !strings.HasSuffix(filepath.Clean(m[2]), got.File) {
			if wrong++; wrong <= 10 {
				t.Errorf("%#x: %s:%d, gdb: %s", a, got.File, got.Line, answers[i])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d differ", wrong, len(addrs))
	}
	return known
}

// Lines of a thousand addresses of a kernel are gdb's.
func TestKernelLines(t *testing.T) {
	labtest.Long(t)
	for _, path := range kerneltest.Vmlinux(t) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			f := open(t, path, debuginfo.Options{})
			spans := debuginfo.Spans(f)
			rnd := rand.New(rand.NewPCG(1, 2))
			var addrs []uint64
			for len(addrs) < 1000 {
				s := spans[rnd.IntN(len(spans))]
				addrs = append(addrs, s[0]+rnd.Uint64N(s[1]-s[0])&^1)
			}
			known := sameLines(t, f, addrs)
			t.Logf("%d addresses, %d with a line", len(addrs), known)
			if known < 900 {
				t.Errorf("only %d of %d addresses have a line", known, len(addrs))
			}
		})
	}
}

// program compiles testdata/calls.c.
func program(t testing.TB, flags ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		labtest.Lacking(t, "x86_64", "gcc is not installed: install the package of that name")
	}
	out := filepath.Join(t.TempDir(), "calls")
	args := append([]string{"-g", "-O2", "-fno-pie", "-no-pie", "-fno-asynchronous-unwind-tables", "-Wl,--build-id", "-o", out}, flags...)
	if text, err := exec.Command("gcc", append(args, "testdata/calls.c")...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, text)
	}
	return out
}

func TestProgramLines(t *testing.T) {
	for name, flags := range map[string][]string{"DWARF 5": {"-gdwarf-5"}, "DWARF 4": {"-gdwarf-4"}, "zlib": {"-gz=zlib"}} {
		t.Run(name, func(t *testing.T) {
			f := open(t, program(t, flags...), debuginfo.Options{Dir: t.TempDir()})
			var addrs []uint64
			for _, s := range debuginfo.Spans(f) {
				for a := s[0]; a < s[1]; a++ {
					addrs = append(addrs, a)
				}
			}
			if known := sameLines(t, f, addrs); known < 100 {
				t.Errorf("%d addresses, %d with a line", len(addrs), known)
			}
		})
	}
}

// A function inlined at one place begins where gdb would stop for it.
func TestProgramSites(t *testing.T) {
	path := program(t)
	f := open(t, path, debuginfo.Options{})
	for _, name := range []string{"scaled", "twice", "outer", "stop_here"} {
		sites, params, err := f.Sites(name)
		if err != nil || len(sites) != 1 {
			t.Errorf("%s: %v, %v; want one site", name, sites, err)
			continue
		}
		out := gdb(t, path, "info scope "+name, "break "+name)
		s := sites[0]
		if s.Inlined != (name == "scaled" || name == "twice") || s.Inlined && (s.In != "outer" || s.Call == "") {
			t.Errorf("%s: %+v", name, s)
		}
		// gdb may stop at an instruction of it that was moved in front.
		if m := regexp.MustCompile(`Breakpoint 1 at (0x[0-9a-f]+)`).FindStringSubmatch(out); m == nil {
			t.Errorf("%s: gdb finds no place: %s", name, out)
		} else if at, err := strconv.ParseUint(m[1], 0, 64); err != nil || !within(t, f, at, name) || !within(t, f, s.Addr, name) {
			t.Errorf("%s: begins at %#x, for gdb at %#x: not both are in it", name, s.Addr, at)
		}
		for _, p := range params {
			if name != "twice" && !strings.Contains(out, "Symbol "+p.Name+" is ") { // gdb shows the block within
				t.Errorf("%s: gdb knows no parameter %s", name, p.Name)
			}
		}
		if len(params) < 2 {
			t.Errorf("%s: %+v, want all parameters", name, params)
		}
	}
	if sites, _, err := f.Sites("no_such_function"); err != nil || len(sites) != 0 {
		t.Errorf("%v, %v; want none", sites, err)
	}
}

// within reports whether a function is active at an address.
func within(t *testing.T, f *debuginfo.File, pc uint64, function string) bool {
	t.Helper()
	found, err := f.Lookup(pc)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(found, func(l debuginfo.Location) bool { return l.Function == function })
}

func TestRefused(t *testing.T) {
	path := program(t)
	id, err := debuginfo.ID(path)
	if err != nil || len(id) != 40 {
		t.Fatalf("build id %q, %v", id, err)
	}
	var other *debuginfo.MismatchError
	if _, err := debuginfo.Open(path, debuginfo.Options{BuildID: "00ff"}); !errors.As(err, &other) || other.Have != id || other.Want != "00ff" ||
		!strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "00ff") {
		t.Errorf("%v, want a MismatchError with both build ids", err)
	}
	stripped := filepath.Join(t.TempDir(), "stripped")
	if out, err := exec.Command("strip", "-o", stripped, path).CombinedOutput(); err != nil {
		t.Skipf("strip: %v: %s", err, out)
	}
	if _, err := debuginfo.Open(stripped, debuginfo.Options{}); !errors.Is(err, debuginfo.ErrNone) {
		t.Errorf("stripped: %v, want ErrNone", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("not a kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	var format *debuginfo.FormatError
	if _, err := debuginfo.Open(text, debuginfo.Options{}); !errors.As(err, &format) {
		t.Errorf("a text file: %v, want a FormatError", err)
	}
	if _, err := debuginfo.Open(filepath.Join(t.TempDir(), "none"), debuginfo.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
