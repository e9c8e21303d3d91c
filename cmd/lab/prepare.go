package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/kernel/debuginfo"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/labs"
)

// target is one kernel to run on.
type target struct {
	arch  arch.Arch
	path  string // image file
	image *kernel.Image
}

// fetcher finds a kernel in the cache or brings it there: images.Cache.Fetch.
type fetcher func(ctx context.Context, arch, spec string, p images.Progress) (images.Kernel, error)

// targets finds the kernels that --arch and --kernel name, fetching those that
// are not in the cache. A name that only some of the architectures have is
// enough when all were asked for.
func (a *app) targets(ctx context.Context, archFlag string, specs []string, fetch fetcher, p *progress) ([]target, error) {
	machines, err := archs(archFlag)
	if err != nil {
		return nil, err
	}
	if len(specs) == 0 {
		specs = []string{""}
	}
	var found []target
	for _, spec := range specs {
		file, err := isFile(spec)
		if err != nil {
			return nil, err
		}
		if file {
			t, err := a.fileTarget(spec, archFlag)
			if err != nil {
				return nil, err
			}
			found = append(found, t)
			continue
		}
		some, err := a.namedTargets(ctx, machines, spec, fetch, p)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// isFile tells a path from a version: it names a file or has a slash.
func isFile(spec string) (bool, error) {
	info, err := os.Stat(spec)
	switch {
	case err == nil && info.IsDir() && strings.Contains(spec, "/"):
		return false, usagef("kernel %s is a folder: name an image file in it, such as %s", spec, filepath.Join(spec, "vmlinuz"))
	case err == nil:
		return !info.IsDir(), nil // a folder may be called like a version
	case strings.Contains(spec, "/"):
		return false, usagef("no kernel image at %s", spec)
	}
	return false, nil
}

func (a *app) fileTarget(path, archFlag string) (target, error) {
	image, err := kernel.Open(path)
	if err != nil {
		return target{}, fmt.Errorf("kernel %s: %w", path, err)
	}
	machine, err := arch.Lookup(image.Arch)
	if err != nil {
		return target{}, fmt.Errorf("kernel %s: %w", path, err)
	}
	if archFlag != "all" && archFlag != machine.Name {
		return target{}, usagef("kernel %s is for %s, not for --arch %s", path, machine.Name, archFlag)
	}
	image.Prepare()
	return target{arch: machine, path: path, image: image}, nil
}

func (a *app) namedTargets(ctx context.Context, machines []arch.Arch, spec string, fetch fetcher, p *progress) ([]target, error) {
	var found []target
	var missing []error
	for _, m := range machines {
		want := spec
		if want == "" {
			want = images.DefaultSpec(m.Name)
		}
		k, err := fetch(ctx, m.Name, want, p.Report)
		p.Done()
		var none *images.NotFoundError
		if errors.As(err, &none) {
			missing = append(missing, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("kernel %s for %s: %w", want, m.Name, err)
		}
		image, err := a.openKernel(k.Path, k.SHA256)
		if err != nil {
			return nil, err
		}
		a.useDebug(image, k.Vmlinux, p)
		found = append(found, target{arch: m, path: k.Path, image: image})
	}
	if len(found) == 0 && len(missing) > 0 {
		return nil, usageError{errors.Join(missing...)}
	}
	for _, err := range missing {
		p.Say("left out: %v", err)
	}
	return found, nil
}

// openKernel opens a kernel image. One whose SHA-256 the cache knows is unpacked
// there once; digest is "" for the others.
func (a *app) openKernel(path, digest string) (*kernel.Image, error) {
	dir, err := a.cache.Path("unpacked")
	if err != nil {
		return nil, err
	}
	image, err := kernel.OpenKept(path, digest, dir)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", path, err)
	}
	image.Prepare()
	return image, nil
}

// useDebug gives an image the vmlinux that the cache has of it, if any. Nothing
// depends on it: one that does not work is told and done without.
func (a *app) useDebug(image *kernel.Image, vmlinux string, p *progress) {
	if vmlinux == "" {
		return
	}
	dir, err := a.cache.Path("debuginfo")
	if err == nil {
		err = image.UseDebug(vmlinux, dir)
	}
	if err != nil {
		p.Say("without debug information: %v", err)
	}
}

// useVmlinux gives the target that it is of the vmlinux of --vmlinux.
func (a *app) useVmlinux(targets []target, vmlinux string) error {
	if vmlinux == "" {
		return nil
	}
	dir, err := a.cache.Path("debuginfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range targets {
		err := t.image.UseDebug(vmlinux, dir)
		var other *debuginfo.MismatchError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &other):
			return usageError{err}
		case len(targets) > 1:
			err = fmt.Errorf("%s (%s): %w", t.image.Release, t.arch.Name, err)
		}
		errs = append(errs, err)
	}
	return usageError{errors.Join(errs...)}
}

// vmlinuxFlag adds --vmlinux.
func vmlinuxFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "vmlinux", "", "the kernel's vmlinux with debug information, for source lines and variables (default the cache's: lab kernels fetch --debug)")
}

// guestFiles returns the lab's program for the machine and the initramfs that every
// guest of its architecture boots. What they are made from is in this executable, so while it and the go command
// are the same, so are they.
func (a *app) guestFiles(ctx context.Context, l labs.Lab, m arch.Arch, p *progress) (program, initrd string, err error) {
	store, err := a.snapshots(p)
	if err != nil {
		return "", "", err
	}
	if l.Outside() {
		made, err := a.buildGuest(ctx, m, p, l)
		return made.Programs[l.Name], made.Initrd, err
	}
	build := func() (string, error) {
		made, err := a.buildGuest(ctx, m, p)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(made)
		return string(text), err
	}
	find := build
	if self, err := os.Executable(); err == nil {
		compiler, _ := snapshot.Identity("go")
		what := fmt.Sprintf("guest's files for %s by %s %s", m.GOARCH, compiler, os.Getenv("GOTOOLCHAIN"))
		find = func() (string, error) { return store.Fact(ctx, what, self, build) }
	}
	var made guestSet
	for _, find := range []func() (string, error){find, build} {
		text, err := find()
		if err != nil {
			return "", "", err
		}
		if err := json.Unmarshal([]byte(text), &made); err == nil && made.exists(l.Name) {
			break
		}
		// The cache was cleaned since.
	}
	return made.Programs[l.Name], made.Initrd, nil
}

// guestSet is what a machine needs beside its kernel.
type guestSet struct {
	Programs map[string]string // executables on the host, by lab
	Initrd   string
}

func (g guestSet) exists(lab string) bool {
	_, err1 := os.Stat(g.Initrd)
	_, err2 := os.Stat(g.Programs[lab])
	return err1 == nil && err2 == nil
}

// buildGuest builds the programs of all labs, and of more, and the initramfs.
func (a *app) buildGuest(ctx context.Context, m arch.Arch, p *progress, more ...labs.Lab) (guestSet, error) {
	all, err := labs.All()
	if err != nil {
		return guestSet{}, err
	}
	all = append(all, more...)
	made := guestSet{Programs: map[string]string{}}
	for _, l := range all {
		if made.Programs[l.Name], err = a.cache.BuildProgram(ctx, m.GOARCH, l.Name, l.Program(), p.Report); err != nil {
			return guestSet{}, fmt.Errorf("build the program of %s: %w", l.Name, err)
		}
	}
	made.Initrd, err = a.cache.Base(ctx, m.GOARCH, p.Report)
	p.Done()
	if err != nil {
		return guestSet{}, fmt.Errorf("build the initramfs for %s: %w", m.Name, err)
	}
	return made, nil
}

// snapshots are the cache's. What a killed run left there is removed.
func (a *app) snapshots(p *progress) (*snapshot.Store, error) {
	dir, err := a.cache.Path("snapshots")
	if err != nil {
		return nil, err
	}
	store := &snapshot.Store{Dir: dir, Warn: func(text string) { p.Say("%s", text) }}
	return store, store.Sweep()
}
