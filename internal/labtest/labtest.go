// Package labtest skips tests that the host cannot run. If LAB_REQUIRE names the
// test's architecture, the test fails instead. The package imports nothing of this
// module, so that every package's tests can use it.
package labtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Lacking skips the test because of reason, or fails it if LAB_REQUIRE, a
// comma-separated list of architectures, names arch.
func Lacking(t testing.TB, arch, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("LAB_REQUIRE"), ","), arch) {
		t.Fatalf("LAB_REQUIRE names %s, but %s", arch, reason)
	}
	t.Skip(reason)
}

// Long skips a test that runs a guest if -short is set, as in make check.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a guest: not with -short")
	}
}

// Programs skips or fails the test, like Lacking, if one of the programs is not
// installed.
func Programs(t testing.TB, arch string, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			Lacking(t, arch, p+" is not installed: run lab doctor --install")
		}
	}
}
