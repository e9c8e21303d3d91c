package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/kernel/debuginfo"
	"kernellab/harness/regress"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
)

// Kernels are the kernels that a person named.
type Kernels struct {
	Arch  string   // name of an architecture, or "all"
	Names []string // series, versions or image files; "" is the architecture's default
	Fetch Fetcher  // nil is the cache's Fetch
	// Vmlinux is a vmlinux with debug information, of one of the kernels; "" is the
	// cache's. Only Open uses it.
	Vmlinux string
}

// Fetcher finds a kernel in the cache or downloads it: linux.Store.Fetch.
type Fetcher func(ctx context.Context, arch, name string, p images.Progress) (linux.Kernel, error)

// Target is a kernel to run on.
type Target struct {
	Arch    arch.Arch
	Release string        // or the kernel's name as it was given, when Err is set
	Path    string        // image file
	Digest  string        // SHA-256 of the image in hex, "" when it is not in the cache
	Vmlinux string        // the cache's vmlinux with debug information, "" for none
	lost    error         // why there is none, when there was one
	Image   *kernel.Image // nil until it is opened
	Err     error         // why the kernel cannot be used; only Find returns such targets
}

// Name names the target to a person.
func (t Target) Name() string { return fmt.Sprintf("%s (%s)", t.Image.Release, t.Arch.Name) }

// Open finds the named kernels, in the order of their names, and opens them. Without
// names it opens the default kernel of each architecture. A name that only some of
// the architectures have is enough.
func (h Host) Open(ctx context.Context, k Kernels) ([]Target, error) {
	machines, err := Archs(k.Arch)
	if err != nil {
		return nil, err
	}
	if len(k.Names) == 0 {
		k.Names = []string{""}
	}
	var opened []Target
	for _, name := range k.Names {
		found, missing, err := h.named(ctx, machines, name, k)
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 {
			return nil, usage.Wrap(errors.Join(missing...))
		}
		for _, t := range found {
			if t.Err == nil {
				t, t.Err = h.open(t)
			}
			if t.Err != nil {
				return nil, t.Err
			}
			opened = append(opened, t)
		}
	}
	return opened, h.useVmlinux(opened, k.Vmlinux)
}

// Find finds the named kernels, each once, in the order of their architectures and
// versions, and opens none. Without names it finds all kernels in the cache, and the
// default kernel of an architecture that has none there. A kernel that cannot be
// used becomes a target that carries its error; Find itself fails when no kernel
// that was named exists.
func (h Host) Find(ctx context.Context, k Kernels) ([]Target, error) {
	machines, err := Archs(k.Arch)
	if err != nil {
		return nil, err
	}
	var all []Target
	var absent []error
	for _, name := range k.Names {
		found, missing, err := h.named(ctx, machines, name, k)
		if err != nil {
			return nil, err
		}
		all, absent = append(all, found...), append(absent, missing...)
	}
	if len(k.Names) == 0 {
		if all, err = h.cachedOrDefault(ctx, machines, k); err != nil {
			return nil, err
		}
	}
	if len(absent) > 0 && !slices.ContainsFunc(all, func(t Target) bool { return t.Err == nil }) {
		return nil, usage.Wrap(errors.Join(absent...))
	}
	for i := range all {
		all[i].Image = nil // one for each run, when its turn comes
	}
	return sorted(all), nil
}

// sorted orders targets by architecture and version, and removes repeated ones.
func sorted(all []Target) []Target {
	order := arch.Names()
	slices.SortStableFunc(all, func(x, y Target) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, x.Arch.Name), slices.Index(order, y.Arch.Name)),
			regress.CompareReleases(x.Release, y.Release), cmp.Compare(x.Release, y.Release),
		)
	})
	return slices.CompactFunc(all, func(x, y Target) bool {
		return x.Arch.Name == y.Arch.Name && x.Release == y.Release && x.Path == y.Path
	})
}

// OpenCached opens every kernel in the cache.
func (h Host) OpenCached(archName string) ([]Target, error) {
	machines, err := Archs(archName)
	if err != nil {
		return nil, err
	}
	var opened []Target
	for _, m := range machines {
		found, damaged, err := h.cached(m)
		if err != nil {
			return nil, err
		}
		if len(damaged) > 0 {
			return nil, damaged[0]
		}
		for _, t := range found {
			if t, err = h.open(t); err != nil {
				return nil, err
			}
			opened = append(opened, t)
		}
	}
	if len(opened) == 0 {
		return nil, usage.Errorf("no kernel in the cache: name one with --kernel, or fetch some with lab kernels fetch")
	}
	return opened, nil
}

// named finds the kernels that one name stands for, a file or one kernel on each of
// machines. When no machine has such a kernel, missing says so for each, and found
// has a target with the same error for each.
func (h Host) named(ctx context.Context, machines []arch.Arch, name string, k Kernels) (found []Target, missing []error, err error) {
	file, err := isFile(name)
	if err != nil {
		return nil, nil, err
	}
	if file {
		return []Target{fileTarget(name, k.Arch)}, nil, nil
	}
	fetch := k.Fetch
	if fetch == nil {
		fetch = linux.In(h.Cache).Fetch
	}
	var absent []Target
	for _, m := range machines {
		want := name
		if want == "" {
			want = linux.DefaultSpec(m.Name)
		}
		got, err := fetch(ctx, m.Name, want, h.Progress.Report)
		h.Progress.Done()
		var none *linux.NotFoundError
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.As(err, &none):
			absent, missing = append(absent, Target{Arch: m, Release: want, Err: err}), append(missing, err)
		case err != nil:
			found = append(found, Target{Arch: m, Release: want, Err: fmt.Errorf("kernel %s for %s: %w", want, m.Name, err)})
		default:
			found = append(found, ofCache(m, got))
		}
	}
	if len(found) == 0 {
		return absent, missing, nil
	}
	for _, err := range missing {
		h.Progress.Say("left out: %v", err)
	}
	return found, nil, nil
}

// cachedOrDefault finds the kernels in the cache, and on an architecture without one
// its default kernel.
func (h Host) cachedOrDefault(ctx context.Context, machines []arch.Arch, k Kernels) ([]Target, error) {
	var all []Target
	for _, m := range machines {
		found, damaged, err := h.cached(m)
		if err != nil {
			return nil, err
		}
		var want []string
		for _, d := range damaged { // to be fetched again, or targets that say why not
			want = append(want, d.Kernel.Release)
		}
		if len(found)+len(damaged) == 0 {
			want = []string{""}
		}
		for _, name := range want {
			more, _, err := h.named(ctx, []arch.Arch{m}, name, k)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		all = append(all, found...)
	}
	return all, nil
}

// cached finds the kernels of an architecture in the cache, and says why others cannot be
// used.
func (h Host) cached(m arch.Arch) (all []Target, damaged []*linux.DamagedError, err error) {
	store := linux.In(h.Cache)
	kernels, err := store.Kernels(m.Name)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range kernels {
		all = append(all, ofCache(m, k))
	}
	damaged, err = store.Damaged(m.Name)
	return all, damaged, err
}

func ofCache(m arch.Arch, k linux.Kernel) Target {
	return Target{Arch: m, Release: k.Release, Path: k.Path, Digest: k.SHA256, Vmlinux: k.Vmlinux, lost: k.VmlinuxErr}
}

// isFile tells a path from a version: it names a file or has a slash.
func isFile(name string) (bool, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir() && strings.Contains(name, "/"):
		return false, usage.Errorf("kernel %s is a folder: name an image file in it, such as %s", name, filepath.Join(name, "vmlinuz"))
	case err == nil && info.IsDir(): // a folder may be called like a version
		return false, nil
	case err == nil:
		if err := regular.Check(name, info); err != nil {
			return false, usage.Errorf("kernel %w", err)
		}
		return true, nil
	case strings.Contains(name, "/"):
		return false, usage.Errorf("no kernel image at %s", name)
	}
	return false, nil
}

// fileTarget is the target of an image file. The image tells its architecture, which
// has to be the one of --arch.
func fileTarget(path, archName string) Target {
	t := Target{Release: path, Path: path}
	if archName != "all" {
		t.Arch, _ = arch.Lookup(archName)
	}
	image, err := kernel.Open(path)
	if err != nil {
		t.Err = fmt.Errorf("kernel %s: %w", path, err)
		return t
	}
	if t.Arch.Name != "" && t.Arch.Name != image.Arch {
		t.Err = usage.Errorf("kernel %s is for %s, not for --arch %s", path, image.Arch, archName)
		return t
	}
	t.Release, t.Image = image.Release, image
	if t.Arch, err = arch.Lookup(image.Arch); err != nil {
		t.Err = fmt.Errorf("kernel %s: %w", path, err)
	}
	return t
}

// open opens a target's image, with the debug information that the cache has.
func (h Host) open(t Target) (Target, error) {
	if t.Image != nil {
		t.Image.Preload()
		return t, nil
	}
	image, err := h.Image(t.Path, t.Digest)
	if err != nil {
		return t, err
	}
	t.Image = image
	if t.lost != nil {
		h.Progress.Say("without debug information: %v; to fetch it again: lab kernels fetch %s --arch %s --debug", t.lost, t.Release, t.Arch.Name)
	}
	if t.Vmlinux != "" { // nothing depends on it
		dir, err := h.Cache.Path("debuginfo")
		if err == nil {
			err = image.UseDebug(t.Vmlinux, dir)
		}
		if err != nil {
			h.Progress.Say("without debug information: %v", err)
		}
	}
	return t, nil
}

// Image opens a kernel image, and begins to read its symbols and types. An image
// whose SHA-256 in hex is given is unpacked into the cache once.
func (h Host) Image(path, digest string) (*kernel.Image, error) {
	dir, err := h.Cache.Path("unpacked")
	if err != nil {
		return nil, err
	}
	image, err := kernel.OpenCached(path, digest, dir)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", path, err)
	}
	image.Preload()
	return image, nil
}

// useVmlinux gives the target that a vmlinux belongs to its debug information. A
// vmlinux that belongs to none of them is a mistake of the caller; "" is ignored.
func (h Host) useVmlinux(targets []Target, vmlinux string) error {
	if vmlinux == "" {
		return nil
	}
	dir, err := h.Cache.Path("debuginfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range targets {
		err := t.Image.UseDebug(vmlinux, dir)
		var other *debuginfo.MismatchError
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &other):
			return usage.Wrap(err)
		case len(targets) > 1:
			err = fmt.Errorf("%s: %w", t.Name(), err)
		}
		errs = append(errs, err)
	}
	return usage.Wrap(errors.Join(errs...))
}

// Add copies a kernel image into the cache, and the vmlinux of the same build beside
// it if one is named.
func (h Host) Add(ctx context.Context, image, vmlinux string) (linux.Kernel, error) {
	im, err := kernel.Open(image)
	var other *regular.Error
	if errors.As(err, &other) {
		return linux.Kernel{}, usage.Errorf("kernel %w", other)
	}
	if err != nil {
		return linux.Kernel{}, fmt.Errorf("kernel %s: %w", image, err)
	}
	if vmlinux != "" {
		dir, err := h.Cache.Path("debuginfo")
		if err != nil {
			return linux.Kernel{}, err
		}
		if err := im.CheckDebug(vmlinux, dir); err != nil {
			return linux.Kernel{}, usage.Wrap(err)
		}
	}
	return linux.In(h.Cache).Add(ctx, image, vmlinux, linux.Identity{Arch: im.Arch, Release: im.Release})
}

// Fetcher returns the Fetcher of the cache. With newest it asks for a newer build than the
// cache has, and with debug it also fetches the kernel's vmlinux.
func (h Host) Fetcher(newest, debug bool) Fetcher {
	var fetch Fetcher = linux.In(h.Cache).Fetch
	if newest {
		fetch = linux.In(h.Cache).FetchNewest
	}
	if debug {
		fetch = h.fetchDebug(fetch)
	}
	return fetch
}

// fetchDebug makes a Fetcher that also fetches the kernel's vmlinux.
func (h Host) fetchDebug(fetch Fetcher) Fetcher {
	return func(ctx context.Context, arch, name string, p images.Progress) (linux.Kernel, error) {
		k, err := fetch(ctx, arch, name, p)
		if err != nil || k.Vmlinux != "" {
			return k, err
		}
		image, err := h.Image(k.Path, k.SHA256)
		if err != nil {
			return k, err
		}
		dir, err := h.Cache.Path("debuginfo")
		if err != nil {
			return k, err
		}
		return linux.In(h.Cache).FetchDebug(ctx, k, func(vmlinux string) error { return image.CheckDebug(vmlinux, dir) }, p)
	}
}
