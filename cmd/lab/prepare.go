package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
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
	case err == nil && info.IsDir():
		return false, usagef("kernel %s is a folder: name an image file in it, such as %s", spec, filepath.Join(spec, "vmlinuz"))
	case err == nil:
		return true, nil
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
		image, err := kernel.Open(k.Path)
		if err != nil {
			return nil, fmt.Errorf("kernel %s (%s): %w", k.Release, k.Path, err)
		}
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

// guestFiles builds the lab's program for the machine and the initramfs with it.
func (a *app) guestFiles(ctx context.Context, l labs.Lab, m arch.Arch, p *progress) (program, initrd string, err error) {
	program, err = a.cache.BuildProgram(ctx, m.GOARCH, l.Name, l.Program(), p.Report)
	if err != nil {
		return "", "", fmt.Errorf("build the program of %s: %w", l.Name, err)
	}
	initrd, err = a.cache.Initramfs(ctx, m.GOARCH, map[string]string{l.Name: program}, p.Report)
	p.Done()
	if err != nil {
		return "", "", fmt.Errorf("build the initramfs for %s: %w", m.Name, err)
	}
	return program, initrd, nil
}
