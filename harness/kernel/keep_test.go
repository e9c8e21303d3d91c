package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/kernel/kerneltest"
)

// An image that was unpacked once is the same image, and one that was damaged
// since, or is gone, is unpacked anew.
func TestOpenKept(t *testing.T) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		t.Run(arch, func(t *testing.T) {
			path := kerneltest.Images(t, arch)[0]
			want, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			kept := filepath.Join(dir, want.SHA256)
			damage := []struct {
				name string
				do   func() error
			}{
				{"the first time", func() error { return nil }},
				{"the second time", func() error { return nil }},
				{"cut short", func() error { return os.Truncate(kept, 1<<20) }},
				{"empty", func() error { return os.Truncate(kept, 0) }},
				{"gone", func() error { return os.Remove(kept) }},
				{"foreign", func() error { return os.WriteFile(kept, []byte("#!/bin/sh\n"), 0o600) }},
			}
			for _, d := range damage {
				if err := d.do(); err != nil {
					t.Fatal(err)
				}
				got, err := OpenKept(path, want.SHA256, dir)
				if err != nil {
					t.Fatalf("%s: %v", d.name, err)
				}
				type facts struct {
					Arch, Release, Banner, SHA256, BuildID string
					Symbols                                int
				}
				of := func(im *Image) facts {
					return facts{im.Arch, im.Release, im.Banner, im.SHA256, im.BuildID, im.Symbols.Len()}
				}
				if diff := cmp.Diff(of(want), of(got)); diff != "" {
					t.Errorf("%s: OpenKept -want +got:\n%s", d.name, diff)
				}
				if !slices.Equal(slices.Collect(want.Symbols.All()), slices.Collect(got.Symbols.All())) {
					t.Errorf("%s: the symbols differ", d.name)
				}
			}
			// A digest that is not the image's is not believed: nothing is kept under it.
			other := want.SHA256[1:] + "0"
			if _, err := OpenKept(path, other, dir); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, other)); err == nil {
				t.Error("the image was kept under a hash that is not its own")
			}
		})
	}
}

func BenchmarkOpenKept(b *testing.B) {
	for _, arch := range []string{"x86_64", "riscv64"} {
		for _, path := range kerneltest.Images(b, arch) {
			b.Run(arch+"/"+filepath.Base(filepath.Dir(path)), func(b *testing.B) {
				im, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				dir := b.TempDir()
				for b.Loop() {
					if _, err := OpenKept(path, im.SHA256, dir); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
