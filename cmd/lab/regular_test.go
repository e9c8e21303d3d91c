package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A pipe or a device in the place of a file that a person names is a mistake of usage
// that is told at once: a pipe without a writer would hold lab for ever, and /dev/zero
// fill the memory.
func TestNamesOfRegularFiles(t *testing.T) {
	t.Setenv("LAB_CACHE", t.TempDir())
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"run", "fork-new", "--kernel", "FILE"},
		{"matrix", "fork-new", "--kernel", "FILE"},
		{"matrix", "fork-new", "--baseline", "FILE"},
		{"check", "FILE"},
		{"verify", "FILE"},
		{"run", "fork-new", "--submission", "FILE"},
		{"kernels", "add", "--image", "FILE"},
	} {
		for path, kind := range map[string]string{pipe: "a pipe", "/dev/zero": "a device"} {
			given := slices.Clone(args)
			given[len(given)-1] = path
			var stderr bytes.Buffer
			code := run(given, strings.NewReader(""), io.Discard, &stderr)
			if want := path + " is " + kind + ": name a regular file"; code != exitUsage || !strings.Contains(stderr.String(), want) {
				t.Errorf("lab %s ends with %d, want %d and %q:\n%s", strings.Join(given, " "), code, exitUsage, want, stderr.String())
			}
		}
	}
}

// opens matches a call that opens a file for reading whatever it is.
var opens = regexp.MustCompile(`\bos\.(Open|ReadFile|OpenFile)\(|\bos\.DirFS\(`)

// openers are the sources that open files without package regular, and what they open.
var openers = map[string]string{
	"internal/regular/regular.go":   "it is that package",
	"internal/flock/flock.go":       "locks, with a flag that never waits",
	"internal/scaffold/scaffold.go": "files that it makes",
	"harness/snapshot/snapshot.go":  "files that it makes",
	"harness/blocks/log.go":         "a pipe that it makes",
	"harness/variant/variant.go":    "a file that it makes",
	"harness/room.go":               "the kernel's files in /proc and /sys",
	"harness/kernel/executable.go":  "/proc/self/exe",
	"images/debian/mirror.go":       "apt's settings in /etc",
	"images/compile/compiler.go":    "what a compiler left, with O_NONBLOCK and a check",
	"images/compile/program.go":     "what the go command has made",
	"images/compile/std.go":         "what the go command has made",
	"harness/prepare/folder.go":     "a folder that it has made, by os.CopyFS, which copies regular files only",
	"images/sandbox/sleep.go":       "the kernel's files in /proc",
	"harness/class/merge.go":        "folders of results, by os.CopyFS, which copies regular files only",
}

// Every file that a person or the cache names is opened by package regular.
func TestFilesAreOpenedAsRegular(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			// What runs in a guest, and what only tests use.
			if strings.HasPrefix(d.Name(), ".") && len(name) > 0 && name != "../.." || name == "images/guest/agent" || d.Name() == "testdata" || strings.HasSuffix(name, "test") {
				return fs.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "labs/") && strings.Count(name, "/") > 1:
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil && opens.Match(text) {
			found[name] = true
			if openers[name] == "" {
				t.Errorf("%s opens files by package os: use internal/regular, or say in openers what it opens", name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range openers {
		if !found[name] {
			t.Errorf("%s opens no file by package os any more: take it out of openers", name)
		}
	}
}
