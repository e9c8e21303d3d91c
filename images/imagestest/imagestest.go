// Package imagestest has what the tests of the packages below images share.
package imagestest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kernellab/images"
)

// Write writes a file, and the folders above it.
func Write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// NothingLeft looks for files that an operation should have removed from parts of a
// cache.
func NothingLeft(t testing.TB, c *images.Cache, parts ...string) {
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

// Same reports whether two files have the same content.
func Same(t testing.TB, a, b string) bool {
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

// Builds skips a test that builds with the go command when tests are to be short.
func Builds(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds with the go command; run without -short")
	}
}

// Damages are what may happen to a file, by name. Each changes the file in its place.
func Damages() map[string]func(t testing.TB, path string) {
	return map[string]func(t testing.TB, path string){
		"truncated": func(t testing.TB, path string) {
			t.Helper()
			change(t, path, func(b []byte) []byte { return b[:len(b)/2] })
		},
		"a byte flipped": func(t testing.TB, path string) {
			t.Helper()
			change(t, path, func(b []byte) []byte {
				b[len(b)/2] ^= 0xff
				return b
			})
		},
	}
}

func change(t testing.TB, path string, by func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 2 {
		t.Fatalf("%s has %d bytes: nothing to damage", path, len(b))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, by(b), info.Mode().Perm()); err != nil { // the inode stays
		t.Fatal(err)
	}
}
