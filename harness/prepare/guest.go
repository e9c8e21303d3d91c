package prepare

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"kernellab/harness/arch"
	"kernellab/harness/snapshot"
	"kernellab/images/compile"
	"kernellab/images/initramfs"
	"kernellab/internal/intact"
	"kernellab/labs"
)

// Guest is what a machine needs beside its kernel.
type Guest struct {
	Programs map[string]string // executables on the host, by lab
	Initrd   string
}

// has reports whether the files for a lab are those that were made.
func (g Guest) has(lab string) bool {
	return intact.Check(g.Initrd) == nil && intact.Check(g.Programs[lab]) == nil
}

// BuildGuest builds the programs of all labs of the course, and of more, and the
// initramfs that every guest of the architecture boots.
func (h Host) BuildGuest(ctx context.Context, m arch.Arch, more ...labs.Lab) (Guest, error) {
	all, err := labs.All()
	if err != nil {
		return Guest{}, err
	}
	all = append(all, more...)
	g := Guest{Programs: map[string]string{}}
	for _, l := range all {
		if g.Programs[l.Name], err = compile.Program(ctx, h.Cache, m.GOARCH, l.Name, l.Program(), h.Progress.Report); err != nil {
			return Guest{}, fmt.Errorf("build the program of %s: %w", l.Name, err)
		}
	}
	g.Initrd, err = initramfs.Base(ctx, h.Cache, m.GOARCH, h.Progress.Report)
	h.Progress.Done()
	if err != nil {
		return Guest{}, fmt.Errorf("build the initramfs for %s: %w", m.Name, err)
	}
	return g, nil
}

// GuestFor is BuildGuest for a run of one lab. What the files of the course's labs
// are made from is in this executable, so they stay the same while it and the go
// command do, and are not looked at again.
func (h Host) GuestFor(ctx context.Context, l labs.Lab, m arch.Arch) (Guest, error) {
	store, err := h.Snapshots()
	if err != nil {
		return Guest{}, err
	}
	if l.Outside() {
		return h.BuildGuest(ctx, m, l)
	}
	build := func() (string, error) {
		g, err := h.BuildGuest(ctx, m)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(g)
		return string(text), err
	}
	find := build
	if self, err := os.Executable(); err == nil {
		compiler, _ := snapshot.Identity("go")
		what := fmt.Sprintf("guest's files for %s by %s %s", m.GOARCH, compiler, os.Getenv("GOTOOLCHAIN"))
		find = func() (string, error) { return store.Fact(ctx, what, self, build) }
	}
	var g Guest
	for _, find := range []func() (string, error){find, build} {
		text, err := find()
		if err != nil {
			return Guest{}, err
		}
		if err := json.Unmarshal([]byte(text), &g); err == nil && g.has(l.Name) {
			break
		}
		// The cache was cleaned since, or a file of it is damaged.
	}
	return g, nil
}

// ShellInitramfs builds an initramfs that holds the program of every lab of the
// course, and of more, for a person to call.
func (h Host) ShellInitramfs(ctx context.Context, m arch.Arch, more ...labs.Lab) (string, error) {
	g, err := h.BuildGuest(ctx, m, more...)
	if err != nil {
		return "", err
	}
	initrd, err := initramfs.With(ctx, h.Cache, m.GOARCH, g.Programs, h.Progress.Report)
	h.Progress.Done()
	if err != nil {
		return "", fmt.Errorf("build the initramfs for %s: %w", m.Name, err)
	}
	return initrd, nil
}
