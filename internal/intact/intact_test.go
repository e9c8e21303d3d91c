package intact_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kernellab/images/imagestest"
	"kernellab/internal/intact"
)

// known reports whether the sum of a file has its stamp.
func known(t *testing.T, path string) bool {
	t.Helper()
	b, err := os.ReadFile(path + intact.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(b), `"changed_ns":0`)
}

func TestCheck(t *testing.T) {
	for name, damage := range imagestest.Damages() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := intact.WriteBytes(path, 0o600, []byte("what was written")); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := intact.Check(path); err != nil {
					t.Fatal(err)
				}
			}
			if known(t, path) {
				t.Error("the stamp of a file that has just been written was kept")
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			// The time that a program can set is no proof.
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			for what, check := range map[string]func(string) error{"Check": intact.Check, "Through": intact.Through} {
				if err := check(path); !intact.Damaged(err) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v, want that %s is damaged", what, err, path)
				}
			}
			if _, err := intact.Read(path); !intact.Damaged(err) {
				t.Errorf("Read: %v", err)
			}
		})
		t.Run(name+" of the sum", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := intact.WriteBytes(path, 0o600, []byte("what was written")); err != nil {
				t.Fatal(err)
			}
			damage(t, path+intact.Suffix)
			if err := intact.Check(path); !intact.Damaged(err) {
				t.Errorf("%v, want damage", err)
			}
		})
	}
}

// A file whose stamp is known is not read again until the file system says that it
// changed.
func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := intact.WriteBytes(path, 0o600, []byte("what was written")); err != nil {
		t.Fatal(err)
	}
	intact.Settle(t, path)
	if err := intact.Check(path); err != nil || !known(t, path) {
		t.Fatalf("%v, stamp kept %t", err, known(t, path))
	}
	// A sum with another digest: only who reads the file finds that.
	b, err := os.ReadFile(path + intact.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := intact.Sum(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(b), sum, strings.Repeat("0", 64), 1)
	if err := os.WriteFile(path+intact.Suffix, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := intact.Check(path); err != nil {
		t.Errorf("a file with a known stamp was read: %v", err)
	}
	if err := intact.Through(path); !intact.Damaged(err) {
		t.Errorf("Through: %v, want damage", err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := intact.Check(path); !intact.Damaged(err) {
		t.Errorf("a file with another stamp was not read: %v", err)
	}
}

func TestUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := intact.Check(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want %v", err, fs.ErrNotExist)
	}
	imagestest.Write(t, path, "x")
	if err := intact.Check(path); !errors.Is(err, intact.ErrUnknown) {
		t.Errorf("%v, want %v", err, intact.ErrUnknown)
	}
	if err := intact.Record(path); err != nil {
		t.Fatal(err)
	}
	if err := intact.Check(path); err != nil {
		t.Error(err)
	}
}

func TestIs(t *testing.T) {
	const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
	path := filepath.Join(t.TempDir(), "f")
	imagestest.Write(t, path, "x")
	for range 2 {
		if err := intact.Is(path, x); err != nil {
			t.Error(err)
		}
	}
	if err := intact.Is(path, strings.Repeat("0", 64)); !intact.Damaged(err) {
		t.Errorf("%v, want damage", err)
	}
}

func TestFolder(t *testing.T) {
	for name, damage := range imagestest.Damages() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			imagestest.Write(t, filepath.Join(dir, "bin/a"), "program a")
			imagestest.Write(t, filepath.Join(dir, "lib/b"), "library b")
			if err := intact.CheckFolder(dir); !errors.Is(err, intact.ErrUnknown) {
				t.Errorf("%v, want %v", err, intact.ErrUnknown)
			}
			if err := intact.SealFolder(dir); err != nil {
				t.Fatal(err)
			}
			if err := intact.CheckFolder(dir); err != nil {
				t.Fatal(err)
			}
			damage(t, filepath.Join(dir, "lib/b"))
			if err := intact.CheckFolder(dir); !intact.Damaged(err) || !strings.Contains(err.Error(), "lib/b") {
				t.Errorf("%v, want that lib/b is damaged", err)
			}
		})
	}
}
