// Package preparetest has what tests of guests on the machine's own cache begin with.
package preparetest

import (
	"io"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/prepare"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/images/qemutest"
	"kernellab/internal/labtest"
	"kernellab/internal/progress"
)

// Machine is the machine that lab starts when no flag asks for another.
var Machine = prepare.Machine{Seed: prepare.DefaultSeed, CPUs: 1}

// Target returns the default kernel of an architecture, and the host on which it was
// prepared. A test in short mode is skipped, and so is one that lacks QEMU or a kernel,
// unless the architecture must be tested.
func Target(t *testing.T, a arch.Arch) (prepare.Host, prepare.Target) {
	t.Helper()
	labtest.Long(t)
	qemutest.Command(t, a.Name, a.QEMU.Binary)
	cached, err := linux.In(&images.Cache{}).Kernels(a.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(cached) == 0 {
		labtest.Lacking(t, a.Name, "the cache holds no kernel for "+a.Name+": lab kernels fetch brings one")
	}
	h := prepare.Host{Cache: &images.Cache{}, QEMU: &prepare.Choice{}, Progress: progress.New(io.Discard)}
	targets, err := h.Open(t.Context(), prepare.Kernels{Arch: a.Name})
	if err != nil {
		t.Fatal(err)
	}
	return h, targets[0]
}
