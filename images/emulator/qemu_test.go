package emulator

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/images"
	"kernellab/images/debian/debiantest"
	"kernellab/images/imagestest"
	"kernellab/internal/labtest"
)

// builtFake is the program of fakeQEMU, which prints unsaid, and its loader. It is built
// once for all tests.
var builtFake struct {
	once            sync.Once
	program, loader string
}

// unsaid stands for what a fake QEMU answers, and is longer.
var unsaid = strings.Repeat("unsaid.", 10)

// fakeQEMU returns a dynamic executable that answers to --version, and the loader that it
// asks for.
func fakeQEMU(t *testing.T, version string) (program, loader string) {
	t.Helper()
	f := &builtFake
	f.once.Do(func() {
		dir := t.TempDir()
		imagestest.Write(t, filepath.Join(dir, "go.mod"), "module fake\n")
		imagestest.Write(t, filepath.Join(dir, "main.go"), fmt.Sprintf("package main\n\nfunc main() { print(%q) }\n", unsaid))
		// The answer goes to standard error, which is read too.
		cmd := exec.Command("go", "build", "-buildmode=pie", "-ldflags=-s -w", "-o", "fake", ".")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v: %s", err, out)
		}
		read := func(path string) string {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		path := filepath.Join(dir, "fake")
		f.program, f.loader = read(path), read(interpreter(t, path))
	})
	if strings.Count(f.program, unsaid) != 1 || len(version) > len(unsaid) {
		t.Fatalf("the fake QEMU was not built, or has no room for %q", version)
	}
	says := version + strings.Repeat("\n", len(unsaid)-len(version))
	return strings.Replace(f.program, unsaid, says, 1), f.loader
}

func interpreter(t *testing.T, path string) string {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := f.Section(".interp").Data()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(string(b), "\x00")
}

// addQEMU enters the packages of a QEMU in a repository.
func addQEMU(t *testing.T, r *debiantest.Repository, version, says string) {
	t.Helper()
	if out, err := exec.Command("dpkg", "--print-architecture").Output(); err != nil || strings.TrimSpace(string(out)) != "amd64" {
		t.Skipf("the host's packages are not for amd64, as the test's are: %s, %v", out, err)
	}
	program, loader := fakeQEMU(t, says)
	firmware := map[string]string{"usr/share/qemu/trace-events-all": "x", "usr/share/doc/README": "x", "usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin": "opensbi"}
	for _, name := range qemuFirmware[:len(qemuFirmware)-1] {
		firmware["usr/share/qemu/"+name] = name
	}
	r.Add(t, "libc6", "2.41", "", map[string]string{"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": loader, "usr/lib/x86_64-linux-gnu/libunused.so.1": "x"}, nil)
	r.Add(t, "qemu-data", "1.0", "", firmware, nil)
	r.AddLink(t, "opensbi", "../../lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin", "usr/share/qemu/"+qemuFirmware[len(qemuFirmware)-1])
	r.Add(t, "libfaketime", "0.9", "libc6", map[string]string{"usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1": emptyLibrary(), "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1": "x"}, nil)
	for pkg, name := range map[string]string{"qemu-system-x86": "qemu-system-x86_64", "qemu-system-riscv": "qemu-system-riscv64"} {
		r.Add(t, pkg, version, "libc6, qemu-data, opensbi", map[string]string{"usr/bin/" + name: program, "usr/bin/qemu-system-i386": "x"}, nil)
	}
}

// emptyLibrary is a shared library without symbols.
func emptyLibrary() string {
	const text = 176 // where the dynamic section starts, behind the headers
	dynamic := []elf.Dyn64{
		{Tag: int64(elf.DT_SYMTAB), Val: text + 96}, {Tag: int64(elf.DT_SYMENT), Val: elf.Sym64Size},
		{Tag: int64(elf.DT_HASH), Val: text + 120}, {Tag: int64(elf.DT_STRTAB), Val: text + 136}, {Tag: int64(elf.DT_STRSZ), Val: 1}, {},
	}
	const size = text + 137
	b := &bytes.Buffer{}
	for _, v := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Filesz: size, Memsz: size, Align: 4096},
		elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R | elf.PF_W), Off: text, Vaddr: text, Filesz: 96, Memsz: 96, Align: 8},
		dynamic, elf.Sym64{}, []uint32{1, 1, 0, 0}, byte(0),
	} {
		binary.Write(b, binary.LittleEndian, v)
	}
	return b.String()
}

func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// serve returns a store that reads the repository.
func serve(t *testing.T, r *debiantest.Repository) Store {
	r.Serve(t)
	return Store{Cache: &images.Cache{Dir: t.TempDir()}, unsigned: true}
}

func TestFetchQEMU(t *testing.T) {
	r := debiantest.New(t)
	addQEMU(t, r, "1:10.0.99+ds-1", "QEMU emulator version 10.0.99 (Debian 1:10.0.99)\n")
	c := serve(t, r)
	if q, ok := c.Cached(); ok {
		t.Errorf("an empty cache holds QEMU %s", q.Version)
	}
	// Of several at once one makes it.
	var all sync.WaitGroup
	var got [3]QEMU
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = c.QEMU(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	dir := filepath.Join(c.Cache.Dir, "qemu", runtime.GOARCH, "10.0.99+ds-1+faketime")
	want := QEMU{Dir: dir, Version: "10.0.99", PackageVersion: "1:10.0.99+ds-1", Suite: "trixie", loader: "ld-linux-x86-64.so.2"}
	for _, q := range got {
		if d := cmp.Diff(want, q, cmp.AllowUnexported(QEMU{})); d != "" {
			t.Fatalf("QEMU (-want +got)\n%s", d)
		}
	}
	files := []string{"bin/qemu-system-riscv64", "bin/qemu-system-x86_64", "lib/ld-linux-x86-64.so.2", "lib/libfaketime.so.1", "qemu.json", "sums.json"}
	for _, name := range qemuFirmware {
		files = append(files, "share/"+name)
	}
	slices.Sort(files)
	if d := cmp.Diff(files, tree(t, dir)); d != "" {
		t.Errorf("files (-want +got)\n%s", d)
	}
	bundled, records, err := want.Bundle("qemu-system-riscv64")
	files = slices.DeleteFunc(files, func(name string) bool {
		return name == "bin/qemu-system-x86_64" || name == Record || name == "sums.json"
	})
	if d := cmp.Diff(files, bundled); d != "" || err != nil {
		t.Errorf("Bundle (-want +got)\n%s%v", d, err)
	}
	copied := In(&images.Cache{Dir: t.TempDir()})
	for _, name := range bundled {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		imagestest.Write(t, filepath.Join(copied.Cache.Dir, want.Part(), name), string(b))
	}
	for name, text := range records {
		imagestest.Write(t, filepath.Join(copied.Cache.Dir, want.Part(), name), string(text))
	}
	if q, ok := copied.Cached(); !ok || q.Version != want.Version {
		t.Errorf("the bundled copy: %v, %t", q, ok)
	}
	if _, _, err := want.Bundle("qemu-system-i386"); err == nil {
		t.Error("a program that is not there is bundled")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "share", qemuFirmware[len(qemuFirmware)-1])); string(b) != "opensbi" || err != nil {
		t.Errorf("the firmware behind a link: %q, %v", b, err)
	}
	imagestest.NothingLeft(t, c.Cache, "tmp")

	// What is cached needs no repository; a newer one does.
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	if q, err := c.QEMU(t.Context(), nil); err != nil || q.Dir != dir {
		t.Errorf("QEMU from the cache: %v, %v", q, err)
	}
	if _, err := c.Newest(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "LAB_DEBIAN_MIRROR") || !strings.Contains(err.Error(), "--qemu host") {
		t.Errorf("the newest from nowhere: %v, want what to do next", err)
	}
	t.Setenv("LAB_DEBIAN_MIRROR", "file://"+r.Dir)
	if q, err := c.Newest(t.Context(), nil); err != nil || q.Dir != dir {
		t.Errorf("the newest, which is in the cache: %v, %v", q, err)
	}

	newer := debiantest.New(t)
	addQEMU(t, newer, "1:10.2.0+ds-1", "QEMU emulator version 10.2.0\n")
	c2 := serve(t, newer)
	c2.Cache.Dir = c.Cache.Dir
	if q, err := c2.Newest(t.Context(), nil); err != nil || q.Version != "10.2.0" {
		t.Errorf("the newest: %v, %v", q, err)
	}
	if q, ok := c.Cached(); !ok || q.Version != "10.2.0" {
		t.Errorf("cached: %v, %t, want the newest", q, ok)
	}

	// A folder that is not whole is not used, and is made again.
	broken := filepath.Join(c.Cache.Dir, "qemu", runtime.GOARCH, "10.2.0+ds-1+faketime", "lib", "ld-linux-x86-64.so.2")
	if err := os.Truncate(broken, 10); err != nil {
		t.Fatal(err)
	}
	if q, ok := c.Cached(); !ok || q.Version != "10.0.99" {
		t.Errorf("cached beside a broken one: %v, %t", q, ok)
	}
	if q, err := c2.Newest(t.Context(), nil); err != nil || q.Version != "10.2.0" {
		t.Errorf("made again: %v, %v", q, err)
	}

	// Nor is one of a lab that did not stop the clock.
	record := filepath.Join(c.Cache.Dir, "qemu", runtime.GOARCH, "10.2.0+ds-1+faketime", Record)
	b, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	imagestest.Write(t, record, strings.Replace(string(b), qemuSchema, "lab.qemu/1", 1))
	os.RemoveAll(dir)
	if q, ok := c.Cached(); ok {
		t.Errorf("cached is one of another schema: %v", q)
	}
	if q, err := c2.QEMU(t.Context(), nil); err != nil || q.Version != "10.2.0" || !q.FrozenClock() {
		t.Errorf("one with a stopped clock: %v, %v", q, err)
	}
	if _, err := c.Cache.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	imagestest.NothingLeft(t, c.Cache, "qemu", "tmp")
}

func TestFetchQEMUFails(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(t *testing.T, r *debiantest.Repository)
		want string
	}{
		"none offered": {func(t *testing.T, r *debiantest.Repository) { r.Add(t, "x", "1", "", nil, nil) }, "find the packages qemu-system-x86"},
		"no QEMU":      {func(t *testing.T, r *debiantest.Repository) { addQEMU(t, r, "1:10.0.99-1", "nonsense\n") }, "no version in"},
		"lost": {func(t *testing.T, r *debiantest.Repository) {
			addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
			os.Remove(filepath.Join(r.Dir, "pool/libc6_2.41.deb"))
		}, "LAB_DEBIAN_MIRROR"},
		"damaged": {func(t *testing.T, r *debiantest.Repository) {
			addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
			if err := os.Truncate(filepath.Join(r.Dir, "pool/libc6_2.41.deb"), 100); err != nil {
				t.Fatal(err)
			}
		}, "LAB_DEBIAN_MIRROR"},
		"lacks libfaketime": {func(t *testing.T, r *debiantest.Repository) {
			addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
			text := strings.ReplaceAll(r.Packages.String(), "Package: libfaketime", "Package: libother")
			r.Packages.Reset()
			r.Packages.WriteString(text)
		}, "find the packages qemu-system-x86, qemu-system-riscv, libfaketime in trixie"},
		"not preloaded": {func(t *testing.T, r *debiantest.Repository) {
			addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
			program, _ := fakeQEMU(t, "")
			r.Add(t, "libfaketime", "1.0", "libc6", map[string]string{"usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1": program}, nil)
		}, "cannot be preloaded"},
		"lacks firmware": {func(t *testing.T, r *debiantest.Repository) {
			addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
			text := strings.ReplaceAll(r.Packages.String(), "Depends: libc6, qemu-data, opensbi", "Depends: libc6, qemu-data")
			r.Packages.Reset()
			r.Packages.WriteString(text)
		}, "no package holds opensbi"},
	} {
		t.Run(name, func(t *testing.T) {
			r := debiantest.New(t)
			tt.make(t, r)
			c := serve(t, r)
			_, err := c.QEMU(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--qemu host") {
				t.Errorf("error %v, want %q and another QEMU in it", err, tt.want)
			}
			if q, ok := c.Cached(); ok {
				t.Errorf("the cache holds %v", q)
			}
			imagestest.NothingLeft(t, c.Cache, "tmp")
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := debiantest.New(t)
		addQEMU(t, r, "1:10.0.99-1", "QEMU emulator version 10.0.99\n")
		c := serve(t, r)
		_, err := c.QEMU(ctx, func(what string, done, _ int64) {
			if what == "unpacking QEMU" && done > 0 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
		imagestest.NothingLeft(t, c.Cache, "tmp")
	})
	t.Run("a name that a loader splits", func(t *testing.T) {
		c := In(&images.Cache{Dir: t.TempDir() + "/a:b"})
		if _, err := c.QEMU(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "LAB_CACHE") {
			t.Errorf("%v, want LAB_CACHE in it", err)
		}
	})
}

// TestAssemble makes a folder of a program that has libraries, apt-get, and runs it
// from there.
func TestAssemble(t *testing.T) {
	program, err := exec.LookPath("apt-get")
	if err != nil {
		t.Skipf("%v; the test takes it apart", err)
	}
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "qemu")
	put := func(name, file string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		imagestest.Write(t, filepath.Join(from, name), string(b))
	}
	for _, name := range qemuPrograms {
		put("usr/bin/"+name, program)
	}
	for _, name := range qemuFirmware {
		imagestest.Write(t, filepath.Join(from, "usr/share/qemu", name), name)
	}
	loader := filepath.Base(interpreter(t, program))
	libs := hostLibraries(t, program)
	libs[clockLibrary] = filepath.Join(t.TempDir(), "empty")
	imagestest.Write(t, libs[clockLibrary], emptyLibrary())
	for name, file := range libs {
		put("usr/lib/triplet/"+name, file)
		imagestest.Write(t, filepath.Join(from, "usr/lib/triplet/glibc-hwcaps/x86-64-v9", name), "for another processor")
	}
	imagestest.Write(t, filepath.Join(from, "usr/lib/triplet/libunused.so.1"), "x")
	_, got, err := assemble(t.Context(), from, dir)
	if err != nil || got != loader {
		t.Fatalf("loader %s, %v, want %s", got, err, loader)
	}
	var want []string
	for name := range libs {
		want = append(want, name)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, tree(t, filepath.Join(dir, "lib"))); d != "" {
		t.Errorf("libraries (-want +got)\n%s", d)
	}
	words := append(QEMU{Dir: dir, loader: loader}.start(qemuPrograms[0]), "--version")
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", strings.Join(words, " "), err, out)
	}

	// The same libraries, in another order.
	q := QEMU{Dir: dir, loader: loader}
	if q.preload, err = preloads(t.Context(), q, qemuPrograms); err != nil || !strings.Contains(q.preload, "libc.so.6") || strings.Contains(q.preload, clockLibrary) {
		t.Errorf("preloads %q, %v, want the C library among them and not %s, which comes before them all", q.preload, err, clockLibrary)
	}
	words = append(q.start(qemuPrograms[1]), "--version")
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil || !slices.Contains(words, clockLibrary+" "+q.preload) {
		t.Errorf("%s: %v: %s", strings.Join(words, " "), err, out)
	}

	const lost = "libc.so.6"
	os.Remove(filepath.Join(from, "usr/lib/triplet", lost))
	os.Remove(filepath.Join(from, "usr/lib/triplet/glibc-hwcaps/x86-64-v9", lost))
	_, _, err = assemble(t.Context(), from, filepath.Join(t.TempDir(), "qemu"))
	if err == nil || !strings.Contains(err.Error(), "needs "+lost) {
		t.Errorf("without a library: %v", err)
	}
}

// hostLibraries returns the files of the libraries of a program, as the host's
// loader finds them, its loader included.
func hostLibraries(t *testing.T, program string) map[string]string {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "LD_TRACE_LOADED_OBJECTS=1", "LD_PRELOAD=") // what ldd does
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the libraries of %s: %v", program, err)
	}
	loader := interpreter(t, program)
	libs := map[string]string{filepath.Base(loader): loader}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 3 && f[1] == "=>" {
			libs[f[0]] = f[2]
		}
	}
	return libs
}

func TestParseBindings(t *testing.T) {
	out := "     15009:\tbinding file /a b/lib/libgio-2.0.so.0 [0] to /a b/lib/libc.so.6 [0]: normal symbol `free' [GLIBC_2.2.5]\n" +
		"     15009:\tcalling init: /a b/lib/libc.so.6\n" +
		"     15009:\tbinding file bin/qemu [0] to bin/qemu [0]: normal symbol `qemu_log'\nQEMU emulator\n"
	want := []binding{
		{from: "libgio-2.0.so.0", to: "libc.so.6", symbol: "`free' [GLIBC_2.2.5]"},
		{from: "qemu", to: "qemu", symbol: "`qemu_log'"},
	}
	if d := cmp.Diff(want, parseBindings([]byte(out)), cmp.AllowUnexported(binding{})); d != "" {
		t.Errorf("bindings (-want +got)\n%s", d)
	}
}

func TestOther(t *testing.T) {
	dir := t.TempDir()
	executable := func(name string) string {
		path := filepath.Join(dir, name)
		imagestest.Write(t, path, "#!/bin/sh\n")
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	build := executable("build/qemu-system-x86_64")
	wrapper := executable("wrapper")
	imagestest.Write(t, filepath.Join(dir, "text"), "x")
	for name, tt := range map[string]struct {
		choice string
		want   []string
		err    string
	}{
		"host":             {"host", []string{"qemu-system-riscv64"}, ""},
		"folder":           {filepath.Join(dir, "build"), []string{filepath.Join(dir, "build/qemu-system-riscv64")}, ""},
		"program":          {build, []string{filepath.Join(dir, "build/qemu-system-riscv64")}, ""},
		"any executable":   {wrapper, []string{wrapper}, ""},
		"nothing":          {filepath.Join(dir, "none"), nil, "no such file or directory; want"},
		"empty":            {"", nil, "no QEMU at"},
		"folder without":   {dir, nil, "holds no qemu-system-… program; want"},
		"not a executable": {filepath.Join(dir, "text"), nil, "is not executable; want"},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := Other(tt.choice)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil || q.Own() {
				t.Fatalf("%v, %v", q, err)
			}
			if d := cmp.Diff(tt.want, q.Command("qemu-system-riscv64")); d != "" {
				t.Errorf("command (-want +got)\n%s", d)
			}
		})
	}
}

// TestRealQEMU starts lab's own QEMU.
func TestRealQEMU(t *testing.T) {
	labtest.Long(t)
	for arch, program := range map[string]string{"x86_64": "qemu-system-x86_64", "riscv64": "qemu-system-riscv64"} {
		t.Run(arch, func(t *testing.T) {
			q, ok := In(&images.Cache{}).Cached()
			if !ok {
				labtest.Lacking(t, arch, "the cache has no QEMU: lab qemu fetch brings it")
			}
			if Major(q.Version) < 10 {
				t.Errorf("QEMU %s, want 10 or later", q.Version)
			}
			version, err := checkQEMU(t.Context(), q)
			if err != nil || version != q.Version {
				t.Errorf("--version: %q, %v, want %s", version, err, q.Version)
			}
			words := append(q.Command(program), "-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-S", "-qmp", "stdio")
			cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
			cmd.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"} {"execute":"cont"} {"execute":"stop"} {"execute":"quit"}`)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
			}
			// Every event has the time of the host's wall clock.
			var events []string
			for line := range strings.Lines(string(out)) {
				var e struct {
					Event     string
					Timestamp struct{ Seconds, Microseconds int64 }
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if e.Event != "" {
					events = append(events, fmt.Sprintf("%s %d.%06d", e.Event, e.Timestamp.Seconds, e.Timestamp.Microseconds))
				}
			}
			if d := cmp.Diff([]string{"RESUME 1767225600.000000", "STOP 1767225600.000000", "SHUTDOWN 1767225600.000000"}, events); d != "" {
				t.Errorf("events (-want +got)\n%s", d)
			}
			before := time.Now()
			killed := exec.CommandContext(t.Context(), words[0], words[1:]...)
			killed.Stdin = strings.NewReader(`{"execute":"qmp_capabilities"}`)
			answers, err := killed.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := killed.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(answers).ReadString('\n'); err != nil { // its greeting: it is up
				t.Error(err)
			}
			killed.Process.Kill()
			killed.Wait()
			left, err := filepath.Glob(fmt.Sprintf("/dev/shm/*faketime_*_%d", killed.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range left {
				// A file of a process that had this number before is older.
				if info, err := os.Stat(path); err == nil && info.ModTime().After(before.Add(-time.Second)) {
					t.Errorf("a killed QEMU left %s behind", path)
				}
			}
		})
	}
}
