package emulator

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kernellab/images"
	"kernellab/images/imagestest"
)

// A QEMU with a file that is not what was put there is not used; where no other can be
// fetched, the error names the file.
func TestDamagedQEMU(t *testing.T) {
	t.Setenv("LAB_DEBIAN_MIRROR", "file:///nowhere")
	for name, damage := range imagestest.Damages() {
		for _, file := range []string{"bin/qemu-system-x86_64", "lib/ld.so", "share/pvh.bin", Record, "sums.json"} {
			for _, sealed := range []bool{true, false} {
				if file == "sums.json" && !sealed || !sealed && (file == Record || name != "truncated") {
					continue // an older lab's record has the sizes only
				}
				t.Run(name+" "+file, func(t *testing.T) {
					var warned []string
					s := In(&images.Cache{Dir: t.TempDir(), Warn: func(text string) { warned = append(warned, text) }})
					dir := filepath.Join(s.Cache.Dir, qemuPart, runtime.GOARCH, "10.0.99+faketime")
					sizes := map[string]int64{}
					for _, f := range []string{"bin/qemu-system-x86_64", "lib/ld.so", "share/pvh.bin"} {
						imagestest.Write(t, filepath.Join(dir, f), "content of "+f)
						sizes[f] = int64(len("content of " + f))
					}
					facts := qemuFacts{Schema: qemuSchema, Version: "10.0.99", PackageVersion: "1:10.0.99", Loader: "ld.so", Files: sizes}
					if err := facts.write(dir); err != nil {
						t.Fatal(err)
					}
					if sealed {
						for range 2 {
							if q, ok := s.Cached(); !ok || q.Version != "10.0.99" {
								t.Fatalf("%v, %t", q, ok)
							}
						}
					}
					path := filepath.Join(dir, file)
					damage(t, path)
					if q, ok := s.Cached(); ok {
						t.Errorf("cached: %v", q)
					}
					if file == "sums.json" {
						path = dir
					}
					_, err := s.QEMU(t.Context(), nil)
					if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--qemu host") {
						t.Errorf("%v, want %s and another QEMU named", err, path)
					}
					if !strings.Contains(strings.Join(warned, "\n"), path) {
						t.Errorf("warned %q, want %s named", warned, path)
					}
				})
			}
		}
	}
}
