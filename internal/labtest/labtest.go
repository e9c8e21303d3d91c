// Package labtest says what a test that runs a guest does on a host that can not:
// it skips with the reason, or fails where LAB_REQUIRE names the architecture, so
// that nothing is passed over where it must be tested. It imports nothing of this
// module, so that every package's tests may use it.
package labtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Lacking skips the test because of reason, or fails it where LAB_REQUIRE, a
// list of architectures with commas between, names arch.
func Lacking(t testing.TB, arch, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("LAB_REQUIRE"), ","), arch) {
		t.Fatalf("LAB_REQUIRE names %s, but %s", arch, reason)
	}
	t.Skip(reason)
}

// Long skips a test that runs a guest when tests are to be short: make check
// needs no QEMU.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a guest: not with -short")
	}
}

// Programs skips or fails the test where one of the programs is not installed.
func Programs(t testing.TB, arch string, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Lacking(t, arch, p+" is not installed: lab doctor --install brings it")
		}
	}
}
