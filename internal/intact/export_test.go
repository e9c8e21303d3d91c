package intact

import (
	"os"
	"testing"
)

// Settle has the next check keep the stamp of a file that was just written, as if time
// had passed.
func Settle(t *testing.T, path string) {
	t.Helper()
	s, err := get(path + Suffix)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range s.Files {
		want.Stamp = stampOf(info)
		s.Files[name] = want
	}
	if err := put(path+Suffix, s); err != nil {
		t.Fatal(err)
	}
}
