package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"kernellab/internal/atomicfile"
)

// only checks that a folder has one file, with that content and mode.
func only(t *testing.T, path, want string, perm os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || string(b) != want {
		t.Errorf("%q, %v, want %q", b, err, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != perm {
		t.Errorf("mode %v, %v, want %v", info.Mode(), err, perm)
	}
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(all) != 1 {
		t.Errorf("the folder has %v, %v", all, err)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := atomicfile.WriteBytes(path, 0o666, []byte("one")); err != nil {
		t.Fatal(err)
	}
	only(t, path, "one", 0o666) // the umask has no part in it
	if err := atomicfile.WriteBytes(path, 0o600, []byte("two")); err != nil {
		t.Fatal(err)
	}
	only(t, path, "two", 0o600)
	full := errors.New("the disk is full")
	err := atomicfile.Write(path, 0o644, func(w io.Writer) error {
		io.WriteString(w, "thr")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	only(t, path, "two", 0o600)
	if err := atomicfile.WriteBytes(filepath.Join(path, "below a file"), 0o600, nil); err == nil {
		t.Error("a file in a file was written")
	}
}
