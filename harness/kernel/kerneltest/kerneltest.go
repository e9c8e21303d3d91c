// Package kerneltest finds kernel images for tests.
//
// It fetches none: `lab kernels fetch` does. It knows the layout of the cache, which
// package images/linux defines, and the variables LAB_TEST_KERNELS (paths of images,
// colon-separated, instead of the cache) and LAB_REQUIRE (names of architectures,
// comma-separated, whose tests must not skip).
package kerneltest

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kernellab/internal/labtest"
)

// Images returns the paths of the kernel images of an architecture, "x86_64" or
// "riscv64", sorted. When there are none the test skips, or fails where
// LAB_REQUIRE names the architecture.
func Images(t testing.TB, arch string) []string {
	t.Helper()
	var found []string
	if list := os.Getenv("LAB_TEST_KERNELS"); list != "" {
		for _, path := range filepath.SplitList(list) {
			if Arch(path) == arch {
				found = append(found, path)
			}
		}
	} else if dir := cacheDir(); dir != "" {
		// A valid pattern causes no error.
		found, _ = filepath.Glob(filepath.Join(dir, "kernels", arch, "*", "vmlinuz"))
	}
	if len(found) == 0 {
		labtest.Lacking(t, arch, "no "+arch+" kernel image at hand; run `lab kernels fetch`, or set LAB_TEST_KERNELS to the paths of some")
	}
	slices.Sort(found)
	return found
}

// Vmlinux returns the paths of the vmlinux files with debug information in the
// cache, sorted. When there are none the test skips, also where LAB_REQUIRE names
// architectures: they are hundreds of megabytes each.
func Vmlinux(t testing.TB) []string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(cacheDir(), "kernels", "*", "*", "vmlinux"))
	if len(found) == 0 {
		t.Skip("no vmlinux with debug information in the cache; run `lab kernels fetch --debug`")
	}
	slices.Sort(found)
	return found
}

// Program returns the path of the first of names that is installed. When none
// is the test skips or fails, like Images.
func Program(t testing.TB, arch string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	labtest.Lacking(t, arch, "none of "+strings.Join(names, ", ")+" is installed")
	return ""
}

func cacheDir() string {
	if dir := os.Getenv("LAB_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "lab")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".cache", "lab")
	}
	return ""
}

// Arch returns an image's architecture, determined by its first bytes or, if it is
// compressed, by its path. It is empty if unknown.
func Arch(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 1024)
	n, err := f.Read(head)
	if err != nil {
		return ""
	}
	head = head[:n]
	at := func(off int, magic string) bool { return len(head) > off && bytes.HasPrefix(head[off:], []byte(magic)) }
	switch {
	case at(0x202, "HdrS"):
		return "x86_64"
	case at(0x30, "RISCV"):
		return "riscv64"
	case at(0, "\x7fELF") && len(head) > 20:
		switch binary.LittleEndian.Uint16(head[18:]) {
		case 62:
			return "x86_64"
		case 243:
			return "riscv64"
		}
		return ""
	}
	for _, arch := range []string{"riscv64", "x86_64"} {
		if strings.Contains(path, arch) {
			return arch
		}
	}
	return ""
}
