package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kernellab/internal/flock"
)

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
	if Exists(crashed) {
		t.Error("the crashed process's folder is still there")
	}
	if !Exists(dir) {
		t.Error("a living process's folder is gone")
	}
	release()
	if Exists(dir) {
		t.Error("release left the folder")
	}
	info, err := os.Stat(filepath.Join(c.Dir, "tmp"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want mode 0700", info.Mode(), err)
	}
}

func TestLocks(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	held, err := c.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if _, err := c.Lock(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	held.Close()
	again, err := c.Lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// What can be done about a cache of another user, a read-only one and a full disk is said
// once, and only of files of the cache.
func TestAdvise(t *testing.T) {
	c := &Cache{Dir: "/c"}
	about := func(path string, err error) error {
		return fmt.Errorf("list kernels: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	for name, tt := range map[string]struct {
		err  error
		want string // in it, "" for no advice
	}{
		"full":           {about("/c/programs/x", syscall.ENOSPC), "the disk of the cache /c is full: make room with lab clean, or set LAB_CACHE"},
		"over the quota": {about("/c/programs/x", syscall.EDQUOT), "the disk of the cache /c is full"},
		"read-only":      {about("/c/programs/x", syscall.EROFS), "cannot be written: set LAB_CACHE"},
		"another user's": {about("/c", syscall.EACCES), "not yours to use: set LAB_CACHE to a folder of your own"},
		"another file":   {about("/cache/x", syscall.ENOSPC), ""},
		"another error":  {about("/c/x", syscall.EIO), ""},
		"no file":        {syscall.ENOSPC, ""},
		"said already":   {&UnwritableError{about("/c/x", syscall.EROFS)}, ""},
	} {
		if got := c.Advise(tt.err); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if got := c.Advised(tt.err); !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) || tt.want == "" && got != tt.err {
			t.Errorf("%s, advised: %v, want %q", name, got, tt.want)
		}
	}
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
	if Exists(filepath.Join(c.Dir, "kernels")) || !Exists(filepath.Join(c.Dir, "somebody's file")) {
		t.Error("clean removed too little or too much")
	}
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

// A cache that a command holds is not cleaned, and the error says what to do; several
// hold it at once. Nobody begins while it is cleaned.
func TestHold(t *testing.T) {
	c := &Cache{Dir: t.TempDir()}
	kernel := filepath.Join(c.Dir, "kernels/x86_64/1/vmlinuz")
	write(t, kernel, "x")
	var holders []func()
	for range 2 {
		release, err := c.Hold(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		holders = append(holders, release)
	}
	for _, release := range holders {
		var used *InUseError
		if _, err := c.Clean(t.Context()); !errors.As(err, &used) || !strings.Contains(err.Error(), "run lab clean again when it has ended") {
			t.Errorf("clean while the cache is held: %v", err)
		}
		if !Exists(kernel) {
			t.Fatal("what a command holds was removed")
		}
		release()
	}
	if _, err := c.Clean(t.Context()); err != nil || Exists(kernel) {
		t.Errorf("clean of a cache that nobody holds: %v", err)
	}
	cleaning, err := flock.Try(filepath.Join(c.Dir, "locks", heldName))
	if err != nil {
		t.Fatal(err)
	}
	defer cleaning.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Hold(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("hold while the cache is cleaned: %v", err)
	}
}

// A cache that cannot be swept is held all the same, with a warning that says why.
func TestHoldSweeps(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(tmp string) error
		want    string // how the warning begins, "" is none
	}{
		{"nothing to sweep", func(string) error { return nil }, ""},
		{"no folder", func(tmp string) error { return os.WriteFile(tmp, nil, 0o600) }, "sweep the cache: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.prepare(filepath.Join(dir, "tmp")); err != nil {
				t.Fatal(err)
			}
			warned := ""
			c := &Cache{Dir: dir, Warn: func(text string) { warned += text }}
			release, err := c.Hold(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if !strings.HasPrefix(warned, tt.want) || (warned == "") != (tt.want == "") {
				t.Errorf("warned of %q, want it to start with %q", warned, tt.want)
			}
		})
	}
}
