package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel/kerneltest"
)

// asked is what some questions about an image's types give, errors included.
func asked(im *Image) map[string]any {
	out := map[string]any{}
	note := func(question string, is any, err error) {
		if out[question] = is; err != nil {
			out[question] = err.Error()
		}
	}
	for _, path := range []string{"pid", "comm", "state", "__state", "thread.sp", "in_execve", "no_such"} {
		f, err := im.Field("task_struct", path)
		note(path, f, err)
	}
	_, err := im.Field("no_such", "pid")
	note("no_such.pid", nil, err)
	members, err := im.Members("list_head")
	note("list_head", members, err)
	for _, name := range []string{"pt_regs", "pid_t", "no_such"} {
		size, err := im.SizeOf(name)
		note("sizeof "+name, size, err)
	}
	for _, name := range []string{"copy_process", "kernel_clone", "no_such"} {
		params, err := im.Params(name)
		note(name+"()", params, err)
	}
	return out
}

// written replaces the header of the file and leaves the valid results.
func written(file, header string) func() error {
	return func() error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		_, body, _ := bytes.Cut(data, []byte("\n"))
		return os.WriteFile(file, append([]byte(header), body...), 0o600)
	}
}

// A repeated query gets the same result from the file; with a damaged file the types
// are read again.
func TestQueries(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			path := kerneltest.Images(t, arch)[0]
			plain, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			want := asked(plain)
			header, err := queryCacheHeader()
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, plain.SHA256+queryCacheSuffix)
			write := func(data string) func() error {
				return func() error { return os.WriteFile(file, []byte(data), 0o600) }
			}
			for _, tt := range []struct {
				name  string
				do    func() error
				known bool
			}{
				{"the first time", func() error { return nil }, false},
				{"the second time", func() error { return nil }, true},
				{"the third time", func() error { return nil }, true},
				{"a bit flipped", func() error { return flip(file, 900) }, false},
				{"cut short", func() error { return os.Truncate(file, 900) }, false},
				{"empty", write(""), false},
				{"foreign", write("#!/bin/sh\n"), false},
				{"only a beginning", write(header), false},
				{"of another program", written(file, "lab.kernel-answers/3 other\n"), false},
				{"of the first format", written(file, "lab.kernel-answers/1 00000000\n"), false},
				{"gone", func() error { return os.Remove(file) }, false},
			} {
				if err := tt.do(); err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				im, err := OpenCached(path, plain.SHA256, dir)
				if err != nil {
					t.Fatalf("%s: %v", tt.name, err)
				}
				if diff := cmp.Diff(want, asked(im)); diff != "" {
					t.Errorf("%s: -want +got:\n%s", tt.name, diff)
				}
				if read := im.types != nil; read == tt.known {
					t.Errorf("%s: the types were read: %t", tt.name, read)
				}
				im.SaveQueries()
			}
		})
	}
}

// Errors that may be temporary are not cached.
func TestQueriesErrors(t *testing.T) {
	var a queryCache
	once := errors.New("once")
	for _, want := range []error{once, nil, nil} {
		_, err := lookup(&a, &a.Sizes, "int", func() (int, error) { return 4, want })
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if n, err := lookup(&a, &a.Sizes, "int", func() (int, error) { return 0, once }); n != 4 || err != nil {
		t.Errorf("got %d, %v, want the first result", n, err)
	}
}

// The cache has a limit, as every run reads it.
func TestQueriesLimit(t *testing.T) {
	var a queryCache
	for i := range 2 * maxResults {
		n, err := lookup(&a, &a.Sizes, fmt.Sprint(i), func() (int, error) { return i, nil })
		if n != i || err != nil {
			t.Fatalf("got %d, %v, want %d", n, err, i)
		}
	}
	if len(a.Sizes) != maxResults {
		t.Errorf("%d results are cached, want %d", len(a.Sizes), maxResults)
	}
}

// The results of one vmlinux are not used for another.
func TestQueriesOfVmlinux(t *testing.T) {
	for _, vmlinux := range kerneltest.Vmlinux(t)[:1] {
		image := filepath.Join(filepath.Dir(vmlinux), "vmlinuz")
		plain, err := Open(image)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		said := func(path string) (any, bool) {
			im, err := OpenCached(image, plain.SHA256, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := im.UseDebug(path, dir); err != nil {
				t.Fatal(err)
			}
			cached := len(im.queries.Sources) > 0
			sym, err := im.Symbols.Lookup("kernel_clone")
			if err != nil {
				t.Fatal(err)
			}
			dup, err := im.sites("dup_task_struct")
			if err != nil {
				t.Fatal(err)
			}
			all := []any{im.Source(sym.Addr), dup}
			im.SaveQueries()
			return all, cached
		}
		want, known := said(vmlinux)
		if known {
			t.Error("there are results before the first query")
		}
		for _, again := range []bool{true, false} {
			if !again { // another file
				other := filepath.Join(t.TempDir(), "vmlinux")
				if err := os.Symlink(vmlinux, other); err != nil {
					t.Fatal(err)
				}
				vmlinux = other
			}
			got, known := said(vmlinux)
			if diff := cmp.Diff(want, got); diff != "" || known != again {
				t.Errorf("the same file: %t, cached: %t, -want +got:\n%s", again, known, diff)
			}
		}
	}
}

// The members of a structure are the fields that its names lead to, bit fields included.
func TestMembers(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		for _, path := range kerneltest.Images(t, arch) {
			im, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			members, err := im.Members("task_struct")
			if err != nil {
				t.Fatal(err)
			}
			bits := 0
			for _, m := range members {
				f, err := im.Field("task_struct", m.Name)
				if err != nil || f.Offset != m.Offset || f.BitOffset != m.BitOffset || f.BitSize != m.BitSize {
					t.Errorf("%s: %s is %+v among the members, and the field is %+v, %v", im.Release, m.Name, m, f, err)
				}
				if m.BitSize > 0 {
					bits++
				}
			}
			if len(members) < 150 || bits < 10 {
				t.Errorf("%s: task_struct has %d members, %d of them bit fields", im.Release, len(members), bits)
			}
		}
	}
}
