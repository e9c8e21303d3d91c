package gdb

import (
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/images"
	"kernellab/labs"
)

// The guide names the guest, its console and the program.
func TestGuide(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	s := Session{Console: "/c/console.sock", lab: l, target: prepare.Target{Arch: arch.All()[1], Image: &kernel.Image{Release: "6.12.1"}}}
	for _, want := range []string{"(6.12.1, riscv64) is halted", " shell --attach /c/console.sock\n", "type fork-new at"} {
		if got := s.Guide(); !strings.Contains(got, want) {
			t.Errorf("the guide does not say %q:\n%s", want, got)
		}
	}
}

// The sockets of a session fit into their addresses, however deep the cache is.
func TestFolder(t *testing.T) {
	for name, inCache := range map[string]bool{"c": true, strings.Repeat("deep", 25): false} {
		cache := &images.Cache{Dir: filepath.Join(t.TempDir(), name)}
		dir, release, err := Folder(t.Context(), cache)
		if err != nil {
			t.Fatal(err)
		}
		if len(filepath.Join(dir, "console.sock")) > longestSocket || strings.HasPrefix(dir, cache.Dir) != inCache {
			t.Errorf("folder %s for the cache %s, in it should be %v", dir, cache.Dir, inCache)
		}
		release()
		if images.Exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}
}
