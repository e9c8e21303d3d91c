package compile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"kernellab/images"
	"kernellab/images/imagestest"
)

func TestProgram(t *testing.T) {
	imagestest.Builds(t)
	t.Setenv("GOFLAGS", "-mod=vendor -tags=none")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOWORK", "/absent/go.work")
	c := &images.Cache{Dir: t.TempDir()}
	good := fstest.MapFS{"main.go": {Data: []byte("package main\n\nfunc main() { println(`x`) }\n")}, "main_test.go": {Data: []byte("broken")}}
	path, err := Program(t.Context(), c, "riscv64", "good", good, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Program(t.Context(), c, "riscv64", "good", good, func(what string, _, _ int64) { t.Errorf("%s a second time", what) })
	if err != nil || again != path {
		t.Errorf("%s, %v; want %s", again, err, path)
	}
	other := &images.Cache{Dir: t.TempDir()}
	path2, err := Program(t.Context(), other, "riscv64", "good", good, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !imagestest.Same(t, path, path2) || filepath.Base(path) != filepath.Base(path2) {
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
			_, err := Program(t.Context(), other, "amd64", "wrong", c.src, nil)
			var ce *Error
			if !errors.As(err, &ce) {
				t.Fatalf("%v, want a Error", err)
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
