package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/u-root/mkuimage/cpio"
	"golang.org/x/mod/modfile"

	"kernellab/internal/atomicfile"
)

func TestFlavours(t *testing.T) {
	for release, want := range map[string]string{
		"6.1.0-50-cloud-amd64":          "cloud-amd64",
		"6.12.107+deb13-cloud-amd64":    "cloud-amd64",
		"6.12.107+deb13-riscv64":        "riscv64",
		"6.1.0-0.deb11.52-rt-amd64":     "rt-amd64",
		"7.3-rc4+deb14-amd64":           "amd64",
		"7.3-rc4-amd64":                 "amd64",
		"6.12.115+deb13.1-cloud-amd64":  "cloud-amd64",
		"6.12.0":                        "",
		"6.12.0-custom":                 "custom",
		"6.17.13+deb13+1-amd64-unsined": "amd64-unsined",
	} {
		if got := flavourOf(release); got != want {
			t.Errorf("%s: flavour %q, want %q", release, got, want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	ascending := []string{"", "5.10.223-1", "6.1.0~rc1", "6.1.0", "6.1.9", "6.1.176-1~deb11u1", "6.1.176-1", "6.1.176-1+b1", "6.12.107-1", "7.2.12-1~bpo13+1", "7.2.12-1"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := compareVersions(a, b); got != want {
				t.Errorf("%q against %q: %d, want %d", a, b, got, want)
			}
		}
	}
}

func offered(arch, release, version string) Kernel {
	return Kernel{Arch: arch, Release: release, Version: version, Series: series(version), Flavour: flavourOf(release), PackageVersion: version + "-1"}
}

func TestSpecs(t *testing.T) {
	ks := []Kernel{
		offered("x86_64", "6.1.0-47-cloud-amd64", "6.1.170"),
		offered("x86_64", "6.1.0-50-cloud-amd64", "6.1.176"),
		offered("x86_64", "6.1.0-50-amd64", "6.1.176"),
		offered("x86_64", "6.12.107+deb13-cloud-amd64", "6.12.107"),
		offered("x86_64", "6.12.9+deb13-cloud-amd64", "6.12.9"),
		offered("x86_64", "7.2.12+deb14-rt-amd64", "7.2.12"),
		{Arch: "x86_64", Release: "6.12.200-mine", Version: "6.12.200", Series: "6.12", Flavour: "mine", Local: true},
		{Arch: "x86_64", Release: "6.17.0-mine", Version: "6.17.0", Series: "6.17", Flavour: "mine", Local: true},
	}
	for spec, want := range map[string]string{
		"6.1":                  "6.1.0-50-cloud-amd64",
		"6.1.170":              "6.1.0-47-cloud-amd64",
		"6.1-amd64":            "6.1.0-50-amd64",
		"6.1.176-cloud":        "6.1.0-50-cloud-amd64",
		"6.1.0-47":             "6.1.0-47-cloud-amd64",
		"6.1.0-50-amd64":       "6.1.0-50-amd64",
		"6.12":                 "6.12.107+deb13-cloud-amd64",
		"6.12.200":             "6.12.200-mine",
		"6.12-mine":            "6.12.200-mine",
		"6.17":                 "6.17.0-mine",
		"7.2-rt":               "7.2.12+deb14-rt-amd64",
		"7.2":                  "",
		"6.99":                 "",
		"6":                    "",
		"":                     "",
		"6.1.0":                "",
		"../6.1":               "",
		"6.12.107+deb13":       "6.12.107+deb13-cloud-amd64",
		"6.1-cloud-amd64-more": "",
	} {
		got, ok := match(ks, "x86_64", spec)
		if got.Release != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", spec, got.Release, ok, want)
		}
	}
	for spec, want := range map[string][]string{
		"6.1.5": {"6.1.170", "6.1.176", "6.1.176-amd64"},
		"6.99":  {"6.1", "6.12"},
		"x":     {"6.1", "6.12"},
	} {
		if d := cmp.Diff(want, nearest(ks, "x86_64", spec)); d != "" {
			t.Errorf("near %q (-want +got)\n%s", spec, d)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add("6.1", "6.1.0-50-cloud-amd64", "6.1.176")
	f.Fuzz(func(t *testing.T, spec, release, version string) {
		ks := []Kernel{offered("x86_64", release, version)}
		match(ks, "x86_64", spec)
		nearest(ks, "x86_64", spec)
		if a, b := compareVersions(release, version), compareVersions(version, release); a != -b {
			t.Errorf("%q against %q: %d, and %d the other way", release, version, a, b)
		}
	})
}

func TestMirrors(t *testing.T) {
	t.Setenv("LAB_DEBIAN_MIRROR", "")
	for name, c := range map[string]struct {
		files map[string]string
		want  mirrors
		err   string
	}{
		"one-line": {
			files: map[string]string{"sources.list": "# comment\ndeb-src http://a.invalid/debian trixie main\ndeb [arch=amd64 signed-by=/k.gpg] http://other.invalid/x trixie main\ndeb [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://a.invalid/debian/ trixie main # x\ndeb http://a.invalid/debian-security trixie-security main\n"},
			want:  mirrors{"http://a.invalid/debian", "http://a.invalid/debian-security"},
		},
		"deb822": {
			files: map[string]string{"sources.list.d/debian.sources": "Types: deb\n# c\nURIs: http://b.invalid/debian http://c.invalid/debian\nSuites: bookworm bookworm-updates\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nTypes: deb\nURIs: http://s.invalid/debian-security\nSuites: bookworm-security\n"},
			want:  mirrors{"http://b.invalid/debian", "http://s.invalid/debian-security"},
		},
		"disabled, foreign, no security": {
			files: map[string]string{
				"sources.list.d/a.sources":  "Types: deb\nEnabled: no\nURIs: http://off.invalid/debian\nSuites: sid\n",
				"sources.list.d/b.list":     "deb http://ubuntu.invalid/ubuntu noble main\ndeb http://d.invalid/debian sid main\n",
				"sources.list.d/c.disabled": "deb http://no.invalid/debian sid main\n",
			},
			want: mirrors{"http://d.invalid/debian", "http://d.invalid/debian-security"},
		},
		"none": {
			files: map[string]string{"sources.list": "deb http://ubuntu.invalid/ubuntu noble main\n"},
			err:   "LAB_DEBIAN_MIRROR",
		},
	} {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			for f, text := range c.files {
				write(t, filepath.Join(etc, f), text)
			}
			got, err := findMirrors(etc)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q in it", err, c.err)
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
		})
	}
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///srv/debian/")
	if got, err := findMirrors(t.TempDir()); err != nil || got != (mirrors{"file:///srv/debian", "file:///srv/debian-security"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [signed-by=x] http://a/ trixie main")
	f.Add("Types: deb\nURIs: a\n b\nSuites: sid\n\nX")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range append(oneLine(text), deb822(text)...) {
			e.debian()
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAdd(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	dir := t.TempDir()
	image, vmlinux := filepath.Join(dir, "bzImage"), filepath.Join(dir, "vmlinux")
	write(t, image, "an image")
	write(t, vmlinux, "with debugging information")
	k, err := c.Add(t.Context(), image, vmlinux, Identity{Arch: "x86_64", Release: "6.17.0-mine"})
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(c.Dir, "kernels/x86_64/6.17.0-mine")
	want := Kernel{
		Arch: "x86_64", Release: "6.17.0-mine", Version: "6.17.0", Series: "6.17", Flavour: "mine", Local: true,
		Size: 8, SHA256: "e34151c9e7a3dd7e7ed2cbc7f1a8dbd5e5c9b4f6b3bf7bcb1d1d5a2b0f4a3c2d",
		Path: filepath.Join(root, "vmlinuz"), Vmlinux: filepath.Join(root, "vmlinux"),
	}
	ignore := cmpopts.IgnoreFields(Kernel{}, "SHA256", "uri", "digest", "debug")
	if d := cmp.Diff(want, k, ignore); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, spec := range []string{"6.17", "6.17.0", "6.17.0-mine"} {
		got, err := c.Fetch(t.Context(), "x86_64", spec, nil)
		if d := cmp.Diff(k, got, ignore); d != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", spec, err, d)
		}
	}
	if err := c.Verify(k); err != nil {
		t.Error(err)
	}
	write(t, image, "another image")
	if k, err = c.Add(t.Context(), image, "", Identity{Arch: "x86_64", Release: "6.17.0-mine"}); err != nil || k.Size != 13 || k.Vmlinux != "" {
		t.Errorf("%+v, %v", k, err)
	}
	// Damage that keeps the size is Verify's to find, the rest everyone's.
	write(t, k.Path, "another imagX")
	if err := c.Verify(k); err == nil {
		t.Error("a damaged image is verified")
	}
	write(t, k.Path, "cut")
	var missing *NotFoundError
	if _, err := c.Find("x86_64", "6.17"); !errors.As(err, &missing) {
		t.Errorf("%v, want a NotFoundError", err)
	}
	for _, id := range []Identity{{Arch: "arm64", Release: "6.1"}, {Arch: "x86_64", Release: "../x"}, {Arch: "x86_64"}, {Arch: "x86_64", Release: "6"}} {
		if _, err := c.Add(t.Context(), image, "", id); err == nil {
			t.Errorf("%+v was added", id)
		}
	}
	nothingLeft(t, c, "tmp")
}

// nothingLeft looks for files that an operation should have removed.
func nothingLeft(t *testing.T, c *Cache, parts ...string) {
	t.Helper()
	for _, part := range parts {
		filepath.WalkDir(filepath.Join(c.Dir, part), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && path != filepath.Join(c.Dir, "tmp", ".lock") {
				t.Errorf("left behind: %s", path)
			}
			return nil
		})
	}
}

func TestTempDirs(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	dir, release, err := c.TempDir(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	// What a crashed process leaves: a folder whose lock nobody holds.
	crashed := filepath.Join(c.Dir, "tmp", "work-crashed")
	write(t, filepath.Join(crashed, ".lock"), "")
	write(t, filepath.Join(crashed, "sub", "file"), "x")
	os.Chmod(filepath.Join(crashed, "sub"), 0o500)
	if err := c.Sweep(); err != nil {
		t.Fatal(err)
	}
	if exists(crashed) {
		t.Error("the crashed process's folder is still there")
	}
	if !exists(dir) {
		t.Error("a living process's folder is gone")
	}
	release()
	if exists(dir) {
		t.Error("release left the folder")
	}
	info, err := os.Stat(filepath.Join(c.Dir, "tmp"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want mode 0700", info.Mode(), err)
	}
}

func TestLocks(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	held, err := c.lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if _, err := c.lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	held.Close()
	again, err := c.lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestClean(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	write(t, filepath.Join(c.Dir, "kernels/x86_64/1/vmlinuz"), strings.Repeat("x", 10000))
	write(t, filepath.Join(c.Dir, "somebody's file"), "x")
	size, err := c.Size()
	if err != nil || size < 10000 {
		t.Errorf("size %d, %v", size, err)
	}
	freed, err := c.Clean(t.Context())
	if err != nil || freed != size {
		t.Errorf("freed %d of %d, %v", freed, size, err)
	}
	if exists(filepath.Join(c.Dir, "kernels")) || !exists(filepath.Join(c.Dir, "somebody's file")) {
		t.Error("clean removed too little or too much")
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	fails := errors.New("x")
	if err := atomicfile.Write(path, 0o600, func(w io.Writer) error {
		w.Write([]byte("half"))
		return fails
	}); err != fails {
		t.Errorf("%v, want %v", err, fails)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("%q", b)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%d files left", len(list))
	}
}

// TestInStep holds the versions that the guest is built from to the project's.
func TestInStep(t *testing.T) {
	read := func(path string) *modfile.File {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := modfile.Parse(path, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	root, ours := read("../go.mod"), read("uroot/go.mod.txt")
	if root.Module.Mod != ours.Module.Mod || root.Go.Version != ours.Go.Version {
		t.Errorf("module %v go %s, want %v go %s", ours.Module.Mod, ours.Go.Version, root.Module.Mod, root.Go.Version)
	}
	want := map[string]string{}
	for _, r := range root.Require {
		want[r.Mod.Path] = r.Mod.Version
	}
	found := false
	for _, r := range ours.Require {
		found = found || r.Mod.Path == "github.com/u-root/u-root"
		if v, ok := want[r.Mod.Path]; ok && v != r.Mod.Version {
			t.Errorf("uroot/go.mod.txt has %s %s, go.mod has %s: build uroot/ anew", r.Mod.Path, r.Mod.Version, v)
		}
	}
	if !found {
		t.Error("uroot/go.mod.txt does not name u-root")
	}
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := agentSources.ReadFile("uroot/go.sum.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mine)) {
		f := strings.Fields(line)
		prefix := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(f[0]+" "+f[1]) + ` (.*)$`)
		if m := prefix.FindStringSubmatch(string(sums)); m != nil && m[1] != f[2] {
			t.Errorf("%s %s has hash %s here and %s in go.sum", f[0], f[1], f[2], m[1])
		}
	}
}

func needGo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds with the go command; run without -short")
	}
}

func TestProgram(t *testing.T) {
	needGo(t)
	t.Setenv("GOFLAGS", "-mod=vendor -tags=none")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOWORK", "/absent/go.work")
	c := &Cache{Dir: t.TempDir()}
	good := fstest.MapFS{"main.go": {Data: []byte("package main\n\nfunc main() { println(`x`) }\n")}, "main_test.go": {Data: []byte("broken")}}
	path, err := c.BuildProgram(t.Context(), "riscv64", "good", good, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.BuildProgram(t.Context(), "riscv64", "good", good, func(what string, _, _ int64) { t.Errorf("%s a second time", what) })
	if err != nil || again != path {
		t.Errorf("%s, %v; want %s", again, err, path)
	}
	other := &Cache{Dir: t.TempDir()}
	path2, err := other.BuildProgram(t.Context(), "riscv64", "good", good, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !same(t, path, path2) || filepath.Base(path) != filepath.Base(path2) {
		t.Error("two builds differ")
	}
	for name, c := range map[string]struct {
		src  fstest.MapFS
		want string
	}{
		"syntax":      {fstest.MapFS{"main.go": {Data: []byte("package main\n\nfunc main() { x }\n")}}, "main.go:3:15: undefined: x"},
		"no files":    {fstest.MapFS{"README.md": {}}, "no Go source files"},
		"library":     {fstest.MapFS{"main.go": {Data: []byte("package lib\n")}}, "package lib, want package main"},
		"third party": {fstest.MapFS{"main.go": {Data: []byte("package main\n\nimport _ \"github.com/u-root/uio/uio\"\n\nfunc main() {}\n")}}, "github.com/u-root/uio/uio"},
		"cgo":         {fstest.MapFS{"main.go": {Data: []byte("package main\n\nimport \"C\"\n\nfunc main() {}\n")}}, ""},
		"a link":      {fstest.MapFS{"main.go": {Mode: fs.ModeSymlink, Data: []byte("/etc/passwd")}}, "not a regular file"},
		"too large":   {fstest.MapFS{"main.go": {Data: make([]byte, maxSourceSize+1)}}, "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := other.BuildProgram(t.Context(), "amd64", "wrong", c.src, nil)
			var ce *CompileError
			if !errors.As(err, &ce) {
				t.Fatalf("%v, want a CompileError", err)
			}
			if !strings.Contains(ce.Text, c.want) || strings.Contains(ce.Text, other.Dir) {
				t.Errorf("text %q, want %q in it and no path of the host", ce.Text, c.want)
			}
		})
	}
	left, err := filepath.Glob(filepath.Join(other.Dir, "*/.*"))
	if err != nil {
		t.Fatal(err)
	}
	lock := func(path string) bool { return filepath.Base(path) == ".lock" }
	if left = slices.DeleteFunc(left, lock); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func same(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

// TestInitramfs builds the archive in two caches, from two folders, and looks
// into it.
func TestInitramfs(t *testing.T) {
	needGo(t)
	t.Setenv("GOFLAGS", "-mod=vendor")
	t.Setenv("GOWORK", "/absent/go.work")
	program := filepath.Join(t.TempDir(), "p")
	write(t, program, "a program")
	var paths []string
	for range 2 {
		t.Chdir(t.TempDir())
		c := &Cache{Dir: t.TempDir()}
		p, err := c.Initramfs(t.Context(), "amd64", map[string]string{"fork-new": program}, nil)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
		again, err := c.Initramfs(t.Context(), "amd64", map[string]string{"fork-new": program}, func(what string, _, _ int64) { t.Errorf("%s a second time", what) })
		if err != nil || again != p {
			t.Errorf("%s, %v; want %s", again, err, p)
		}
		if _, err := c.Initramfs(t.Context(), "amd64", map[string]string{"../init": program}, nil); err == nil {
			t.Error("a program with a slash in its name was added")
		}
	}
	if os.Getenv("GOFLAGS") != "-mod=vendor" {
		t.Error("the build changed the environment")
	}
	if !same(t, paths[0], paths[1]) || filepath.Base(paths[0]) != filepath.Base(paths[1]) {
		t.Error("two builds differ")
	}
	f, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size()%512 != 0 {
		t.Errorf("size %d, %v; want a multiple of 512", info.Size(), err)
	}
	first, err := cpio.ReadAllRecords(cpio.Newc.Reader(f))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range first {
		names = append(names, r.Name)
		if r.MTime != 0 || r.Ino != 0 || r.UID != 0 {
			t.Errorf("%v is not reproducible", r.Info)
		}
	}
	for _, want := range []string{"init", "bbin/bb", "bbin/gosh", "bin/sh", "dev/console"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s in %q", want, names)
		}
	}
}

// TestCancelledBuild ends a build in the middle: nothing stays.
func TestCancelledBuild(t *testing.T) {
	needGo(t)
	c := &Cache{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Base(ctx, "riscv64", func(string, int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	nothingLeft(t, c, "initramfs", "tmp")
}

// TestCommandGroup cancels a command once a child of its child runs, which ends too.
func TestCommandGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	// The child's child alone holds the pipe open, so its end is the pipe's.
	path := filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		pipe, err := os.Open(path) // returns when the other end is open
		cancel()
		if err == nil {
			_, err = io.Copy(io.Discard, pipe)
			pipe.Close()
		}
		ended <- err
	}()
	_, err := command{Path: "sh", Args: []string{"-c", "sleep 1000 > alive & wait"}, Dir: dir}.run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("the child's child has not ended")
	}
}
