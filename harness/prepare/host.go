// Package prepare makes ready what a run needs on this host: it finds the kernels
// that a person named, builds the guest's programs and initramfs, chooses QEMU and
// puts them together as a harness.Job. It starts no guest.
package prepare

import (
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/internal/usage"
)

// Host is where runs are prepared. Its methods may be called by several goroutines.
type Host struct {
	Cache    *images.Cache
	QEMU     *Choice  // nil is the QEMU that LAB_QEMU names, or lab's own
	Progress Progress // of downloads and builds
}

// Progress shows a person what is being done.
type Progress interface {
	// Report takes how many bytes of a task are done; total is 0 when it is not known.
	Report(what string, done, total int64)
	// Say takes a message.
	Say(format string, args ...any)
	// Done ends the task that was reported last.
	Done()
}

// Explain shows a person an error that is not theirs: with the end of the guest's console
// when it has one, with what to do about the cache when it is about that, and with the
// folder of the run's files unless that is "".
func (h Host) Explain(err error, files string) {
	text := machine.Describe(err, "  ")
	if advice := h.Cache.Advise(err); advice != "" {
		text += "  " + advice + "\n"
	}
	if files != "" {
		text += "  what the run left is in " + files + "\n"
	}
	h.Progress.Say("%s", strings.TrimSuffix(text, "\n"))
}

// Archs returns the architectures that a word names: one of them, or "all".
func Archs(name string) ([]arch.Arch, error) {
	if name == "all" {
		return arch.All(), nil
	}
	a, err := arch.Lookup(name)
	if err != nil {
		known := append(arch.Names(), "all")
		return nil, usage.Unknown("architecture", name, known, "use one of "+strings.Join(known, ", "))
	}
	return []arch.Arch{a}, nil
}

// Snapshots returns the cache's snapshots, without what a killed run left there.
func (h Host) Snapshots() (*snapshot.Store, error) {
	dir, err := h.Cache.Path("snapshots")
	if err != nil {
		return nil, err
	}
	store := &snapshot.Store{Dir: dir, Warn: func(text string) { h.Progress.Say("%s", text) }}
	return store, store.Sweep()
}
