package prepare

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"kernellab/harness/arch"
	"kernellab/harness/qemu"
	"kernellab/harness/snapshot"
	"kernellab/images/compile"
	"kernellab/images/guest"
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

// Shell is a machine that boots to a shell, for a person. The programs of every lab of
// the course, and of more, are commands there.
func (h Host) Shell(ctx context.Context, t Target, more ...labs.Lab) (qemu.Config, error) {
	command, err := h.Command(ctx, t.Arch)
	if err != nil {
		return qemu.Config{}, err
	}
	g, err := h.BuildGuest(ctx, t.Arch, more...)
	if err != nil {
		return qemu.Config{}, err
	}
	initrd, err := initramfs.With(ctx, h.Cache, t.Arch.GOARCH, g.Programs, h.Progress.Report)
	h.Progress.Done()
	if err != nil {
		return qemu.Config{}, fmt.Errorf("build the initramfs for %s: %w", t.Arch.Name, err)
	}
	return qemu.Config{
		Command: command, Arch: t.Arch, Kernel: t.Path, Initrd: initrd, Append: guest.ShellMode,
		Seed: DefaultSeed, Interactive: true,
	}, nil
}
