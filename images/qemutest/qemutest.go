// Package qemutest finds the QEMU that tests run guests in: the one that lab uses.
package qemutest

import (
	"os"
	"os/exec"
	"testing"

	"kernellab/images"
	"kernellab/images/emulator"
	"kernellab/internal/labtest"
)

// Command returns the words that start the program of that name, such as
// qemu-system-x86_64: of lab's own QEMU in the cache, or of the one that LAB_QEMU
// names. Without one the test is skipped, or fails where LAB_REQUIRE names arch.
func Command(t testing.TB, arch, program string) []string {
	t.Helper()
	var q emulator.QEMU
	if choice := os.Getenv("LAB_QEMU"); choice != "" {
		var err error
		if q, err = emulator.Other(choice); err != nil {
			t.Fatalf("LAB_QEMU: %v", err)
		}
	} else {
		var ok bool
		if q, ok = emulator.In(&images.Cache{}).Cached(); !ok {
			labtest.Lacking(t, arch, "the cache holds no QEMU: lab qemu fetch brings it")
		}
	}
	words := q.Command(program)
	if _, err := exec.LookPath(words[0]); err != nil {
		labtest.Lacking(t, arch, err.Error())
	}
	return words
}
