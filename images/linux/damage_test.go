package linux

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/images"
	"kernellab/images/debian/debiantest"
	"kernellab/images/imagestest"
)

// A damaged kernel of Debian's is fetched again; where it cannot be, the error names its
// file. A local one is named.
func TestDamagedKernel(t *testing.T) {
	const release = "6.1.0-50-cloud-amd64"
	for name, damage := range imagestest.Damages() {
		for _, file := range []string{imageName, recordName} {
			t.Run(name+" "+file, func(t *testing.T) {
				r := debiantest.New(t)
				r.Add(t, "linux-image-"+release, "6.1.176-1", "", map[string]string{"boot/vmlinuz-" + release: "an image"}, nil)
				s := serve(t, r)
				var warned []string
				s.Cache.Warn = func(text string) { warned = append(warned, text) }
				k, err := s.Fetch(t.Context(), "x86_64", "6.1", nil)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(filepath.Dir(k.Path), file)
				damage(t, path)
				if ks, err := s.Kernels("x86_64"); err != nil || len(ks) > 0 {
					t.Errorf("listed: %v, %v", ks, err)
				}
				if ds, err := s.Damaged("x86_64"); err != nil || len(ds) != 1 || ds[0].Kernel.Release != release {
					t.Errorf("damaged: %v, %v", ds, err)
				}
				warned = nil
				again, err := s.Fetch(t.Context(), "x86_64", "6.1", nil)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(again.Path); string(b) != "an image" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				if !strings.Contains(strings.Join(warned, "\n"), path) {
					t.Errorf("warned %q, want %s named", warned, path)
				}
				damage(t, path)
				t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
				if _, err := s.FetchNewest(t.Context(), "x86_64", "6.1", nil); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want %s named", err, path)
				}
			})
		}
		t.Run(name+" local", func(t *testing.T) {
			s := In(&images.Cache{Dir: t.TempDir()})
			image, vmlinux := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "vmlinux")
			imagestest.Write(t, image, "an image")
			imagestest.Write(t, vmlinux, "debug information")
			k, err := s.Add(t.Context(), image, vmlinux, Identity{Arch: "x86_64", Release: "6.17.0-mine"})
			if err != nil {
				t.Fatal(err)
			}
			damage(t, k.Vmlinux)
			if found, err := s.Find("x86_64", "6.17"); err != nil || found.Vmlinux != "" || found.VmlinuxErr == nil || !strings.Contains(found.VmlinuxErr.Error(), k.Vmlinux) {
				t.Errorf("with a damaged vmlinux: %+v, %v", found, err)
			}
			damage(t, k.Path)
			var damaged *DamagedError
			if _, err := s.Fetch(t.Context(), "x86_64", "6.17", nil); !errors.As(err, &damaged) || !strings.Contains(err.Error(), k.Path) || !strings.Contains(err.Error(), "lab kernels add") {
				t.Errorf("%v, want the file and what to do", err)
			}
		})
	}
}
