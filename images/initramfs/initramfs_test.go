package initramfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/mkuimage/cpio"
	"golang.org/x/mod/modfile"

	"kernellab/images"
	"kernellab/images/imagestest"
)

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
	root, ours := read("../../go.mod"), read("uroot/go.mod.txt")
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
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := module.ReadFile("uroot/go.sum.txt")
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

// TestInitramfs builds the archive in two caches, from two folders, and looks
// into it.
func TestInitramfs(t *testing.T) {
	imagestest.Builds(t)
	t.Setenv("GOFLAGS", "-mod=vendor")
	t.Setenv("GOWORK", "/absent/go.work")
	program := filepath.Join(t.TempDir(), "p")
	imagestest.Write(t, program, "a program")
	var paths []string
	for range 2 {
		t.Chdir(t.TempDir())
		c := &images.Cache{Dir: t.TempDir()}
		p, err := With(t.Context(), c, "amd64", map[string]string{"fork-new": program}, nil)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
		again, err := With(t.Context(), c, "amd64", map[string]string{"fork-new": program}, func(what string, _, _ int64) { t.Errorf("%s a second time", what) })
		if err != nil || again != p {
			t.Errorf("%s, %v; want %s", again, err, p)
		}
		if _, err := With(t.Context(), c, "amd64", map[string]string{"../init": program}, nil); err == nil {
			t.Error("a program with a slash in its name was added")
		}
	}
	if os.Getenv("GOFLAGS") != "-mod=vendor" {
		t.Error("the build changed the environment")
	}
	if !imagestest.Same(t, paths[0], paths[1]) || filepath.Base(paths[0]) != filepath.Base(paths[1]) {
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
	imagestest.Builds(t)
	c := &images.Cache{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Base(ctx, c, "riscv64", func(string, int64, int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	imagestest.NothingLeft(t, c, "initramfs", "tmp")
}
