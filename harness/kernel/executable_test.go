package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// compiled returns a program made of a source file's content.
func compiled(t *testing.T, source string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	for name, text := range map[string]string{"main.go": source, "go.mod": "module program\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return path
}

func identity(t *testing.T, path string) string {
	t.Helper()
	id, err := identify(path)
	if err != nil || id == "" {
		t.Fatalf("identify %s: %q, %v", path, id, err)
	}
	return id
}

// Programs that differ in one number have different identities, and copies of one
// program have the same.
func TestIdentify(t *testing.T) {
	one := compiled(t, "package main\n\nfunc main() { println(1) }\n")
	two := compiled(t, "package main\n\nfunc main() { println(2) }\n")
	id := identity(t, one)
	tool, err := exec.Command("go", "tool", "buildid", one).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := string(bytes.TrimSpace(tool)); id != want {
		t.Errorf("identity %q, go tool buildid says %q", id, want)
	}
	if other := identity(t, two); other == id {
		t.Errorf("two programs are both %q", id)
	}
	data, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	twin := filepath.Join(t.TempDir(), "twin")
	if err := os.WriteFile(twin, data, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := identity(t, twin); got != id {
		t.Errorf("a copy of %q is %q", id, got)
	}
}

// A program without a build ID is identified all the same, and differently when
// the file is another.
func TestIdentifyWithoutBuildID(t *testing.T) {
	bare := compiled(t, "package main\n\nfunc main() {}\n", "-ldflags=-buildid=")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bare, script} {
		before := identity(t, path)
		if again := identity(t, path); again != before {
			t.Errorf("%s is %q, then %q", path, before, again)
		}
		next := path + ".next"
		if err := os.WriteFile(next, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		if after := identity(t, path); after == before {
			t.Errorf("%s is still %q after it was replaced", path, before)
		}
	}
	if _, err := identify(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that does not exist has an identity")
	}
}

func TestExecutable(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	id, err := executable()
	if err != nil || id != identity(t, path) {
		t.Errorf("executable() = %q, %v, want the identity of %s", id, err, path)
	}
}

func BenchmarkIdentify(b *testing.B) {
	for b.Loop() {
		if _, err := identify("/proc/self/exe"); err != nil {
			b.Fatal(err)
		}
	}
}
