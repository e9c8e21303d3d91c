package regular

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
)

// What is no regular file is refused at once, by any name: a pipe without a writer would
// hold the reader for ever, /dev/zero has no end.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	pipe, socket := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]string{
		pipe: "a pipe", link: "a pipe", socket: "a socket", dir: "a folder", "/dev/zero": "a device", "/dev/null": "a device",
	} {
		want := path + " is " + kind + ": name a regular file"
		var refused *Error
		if _, err := Open(path); !errors.As(err, &refused) || err.Error() != want {
			t.Errorf("Open: %v, want %s", err, want)
		}
		if _, err := ReadFile(path, 1<<20); !errors.As(err, &refused) || err.Error() != want {
			t.Errorf("ReadFile: %v, want %s", err, want)
		}
	}
}

// A file is read whole when it is within the limit; a link to one is followed unless
// that is forbidden.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	want := []byte("12345")
	if err := errors.Join(os.WriteFile(path, want, 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link} {
		if got, err := ReadFile(name, 5); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	var large *TooLargeError
	if _, err := ReadFile(path, 4); !errors.As(err, &large) || large.Size != 5 || large.Most != 4 {
		t.Errorf("of 5 bytes with a limit of 4: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	if _, err := OpenFile(link, os.O_RDONLY|syscall.O_NOFOLLOW); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link with O_NOFOLLOW: %v", err)
	}
	f, err := OpenFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("6"); err != nil {
		t.Error(err)
	}
}

// A folder has its files and its folders, and opens no pipe in it.
func TestFS(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "sub"), 0o700), os.WriteFile(filepath.Join(dir, "sub/file"), []byte("text"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(FS(dir), "sub/file"); err != nil {
		t.Error(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if _, err := fs.ReadFile(FS(dir), "pipe"); !errors.As(err, &refused) {
		t.Errorf("a pipe: %v", err)
	}
}
