package mapped

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that is truncated after it was mapped is an error, and so it is in a call that is
// itself guarded. What do returns is passed on, and other panics are panics.
func TestGuard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, 3*os.Getpagesize()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := syscall.Mmap(int(f.Fd()), 0, 3*os.Getpagesize(), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(data)
	sum := func() error {
		n := 0
		for _, b := range data {
			n += int(b)
		}
		return errors.New(strings.Repeat("x", n+1))
	}
	if err := Guard(sum); err == nil || err.Error() != "x" {
		t.Errorf("of a whole file: %v, want what do returns", err)
	}
	if err := os.Truncate(path, 1); err != nil {
		t.Fatal(err)
	}
	nested := func() error {
		if err := Guard(sum); !errors.As(err, new(*GoneError)) {
			t.Errorf("nested: %v, want a *GoneError", err)
		}
		return sum() // still guarded
	}
	if err := Guard(nested); !errors.As(err, new(*GoneError)) {
		t.Errorf("%v, want a *GoneError", err)
	}
	for name, do := range map[string]func() error{
		"a panic":       func() error { panic("other") },
		"a nil pointer": func() error { return errors.New(*(*string)(nil)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is no panic any more", name)
				}
			}()
			Guard(do)
		}()
	}
}
