package linux

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/internal/intact"
)

// Offered returns the kernels that Debian's suites offer, newest first, one for
// each release. Those that are cached have a Path. The package indexes are read
// at most once a day; [Store.Refresh] reads them now. A suite that cannot be read
// is passed over and told to Warn.
func (s Store) Offered(ctx context.Context, arch string, p images.Progress) ([]Kernel, error) {
	return s.offered(ctx, arch, false, p)
}

// Refresh reads the package indexes anew, and returns what [Store.Offered] does.
func (s Store) Refresh(ctx context.Context, arch string, p images.Progress) ([]Kernel, error) {
	return s.offered(ctx, arch, true, p)
}

func (s Store) offered(ctx context.Context, arch string, refresh bool, p images.Progress) ([]Kernel, error) {
	debarch, err := debianArch(arch)
	if err != nil {
		return nil, err
	}
	ks, err := s.readIndexes(ctx, arch, debarch, refresh, p)
	if err != nil {
		return nil, fmt.Errorf("list the kernels that Debian offers for %s: %w", arch, err)
	}
	have, err := s.Kernels(arch)
	if err != nil {
		return nil, err
	}
	cached := map[string]Kernel{}
	for _, k := range have {
		cached[k.Release] = k
	}
	for i, k := range ks {
		if h, ok := cached[k.Release]; ok {
			ks[i].Path, ks[i].SHA256, ks[i].Size, ks[i].Vmlinux = h.Path, h.SHA256, h.Size, h.Vmlinux
		}
	}
	return ks, nil
}

// apt returns apt's programs, set up for an architecture.
func (s Store) apt(arch, debarch string) (debian.Apt, error) {
	dir, err := s.Cache.Path("apt", debarch)
	if err != nil {
		return debian.Apt{}, err
	}
	return debian.New(debian.Config{Dir: dir, Arch: debarch, Suites: suites(arch), Unsigned: s.unsigned})
}

func (s Store) readIndexes(ctx context.Context, arch, debarch string, refresh bool, p images.Progress) ([]Kernel, error) {
	a, err := s.apt(arch, debarch)
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(a.Dir, "offer.json")
	sources := a.Sources()
	read := func(limit time.Duration) ([]Kernel, bool) {
		o, err := readOffer(kept)
		age := time.Since(o.When)
		return o.kernels(), err == nil && o.Sources == sources && age >= 0 && age < limit
	}
	fresh := func() ([]Kernel, bool) { return read(refreshAfter) }
	if ks, ok := fresh(); ok && !refresh {
		return ks, nil
	}
	lock, err := s.Cache.Lock(ctx, "apt-"+debarch)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if ks, ok := fresh(); ok && !refresh {
		return ks, nil
	}
	if err := a.Prepare(ctx); err != nil {
		return nil, err
	}
	warnings, err := a.Update(ctx, p)
	if err != nil {
		if ks, ok := read(math.MaxInt64); ok && !refresh && ctx.Err() == nil {
			s.Cache.Warning(fmt.Sprintf("the list of kernels is out of date: %v", err))
			return ks, nil
		}
		return nil, err
	}
	for _, w := range warnings {
		s.Cache.Warning(w)
	}
	var all []Kernel
	for _, x := range a.Indexes() {
		text, err := a.Read(ctx, x)
		if err != nil {
			return nil, err
		}
		ks, err := parseIndex(bytes.NewReader(text), arch, x)
		if err != nil {
			return nil, err
		}
		all = append(all, ks...)
	}
	all = oneEach(all)
	o := offer{Schema: offerSchema, When: time.Now(), Sources: sources}
	for _, k := range all {
		o.Kernels = append(o.Kernels, offerEntry{k, k.uri, k.digest, k.debug})
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return all, intact.WriteBytes(kept, 0o600, b)
}

// again is how soon after the indexes were read they are not read again because
// of a kernel that is not in them.
const again = 10 * time.Minute

// readWithin reports whether the indexes were read in the time before now.
func (s Store) readWithin(arch string, limit time.Duration) bool {
	debarch, err := debianArch(arch)
	if err != nil {
		return false
	}
	a, err := s.apt(arch, debarch)
	if err != nil {
		return false
	}
	o, err := readOffer(filepath.Join(a.Dir, "offer.json"))
	age := time.Since(o.When)
	return err == nil && o.Sources == a.Sources() && age >= 0 && age < limit
}

// Fetch returns the kernel that spec names, from the cache if it can and from
// Debian if it must. A spec is a series, "6.12", for its newest build of the
// default flavour; a version, "6.12.107"; either with a flavour, "7.2-rt"; or a
// release, "6.1.0-50-cloud-amd64". A series with any build in the cache is taken
// from there: [Store.FetchNewest] looks for a newer one.
func (s Store) Fetch(ctx context.Context, arch, spec string, p images.Progress) (Kernel, error) {
	return s.fetch(ctx, arch, spec, false, p)
}

// FetchNewest is Fetch that asks Debian even when the cache has an answer. What
// no suite offers any more is still taken from the cache.
func (s Store) FetchNewest(ctx context.Context, arch, spec string, p images.Progress) (Kernel, error) {
	return s.fetch(ctx, arch, spec, true, p)
}

func (s Store) fetch(ctx context.Context, arch, spec string, newest bool, p images.Progress) (Kernel, error) {
	if err := s.Cache.Sweep(); err != nil {
		return Kernel{}, err
	}
	k, err := s.Find(arch, spec)
	var missing *NotFoundError
	var damaged *DamagedError
	switch {
	case err == nil && (!newest || k.Local || exact(spec)):
		return k, nil
	case errors.As(err, &damaged) && !damaged.Kernel.Local:
		s.Cache.Warning(fmt.Sprintf("%v; fetching it again", damaged.Err))
		k, err = s.fetchOffered(ctx, arch, spec, Kernel{}, newest, p)
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w; %w", damaged.Err, err)
		}
		return k, err
	case err != nil && !errors.As(err, &missing):
		return Kernel{}, err
	}
	return s.fetchOffered(ctx, arch, spec, k, newest, p)
}

// fetchOffered is fetch from Debian. have is what the cache has, if anything.
func (s Store) fetchOffered(ctx context.Context, arch, spec string, have Kernel, newest bool, p images.Progress) (Kernel, error) {
	ks, err := s.offered(ctx, arch, newest, p)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
	}
	k, ok := match(ks, arch, spec)
	if !ok && have.Cached() {
		return have, nil
	}
	if !ok && !newest && !s.readWithin(arch, again) {
		// The index may be a day old, and the kernel new.
		if ks, err = s.offered(ctx, arch, true, p); err != nil {
			return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
		}
		k, ok = match(ks, arch, spec)
	}
	if !ok {
		return Kernel{}, &NotFoundError{Arch: arch, Spec: spec, Near: nearest(ks, arch, spec), Offered: true}
	}
	if k.Cached() {
		return s.Find(arch, k.Release)
	}
	if k, err = s.download(ctx, k, p); err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
	}
	return k, nil
}

// download gets a package, checks it, and takes the image out of it.
func (s Store) download(ctx context.Context, k Kernel, p images.Progress) (Kernel, error) {
	pkg := debian.Package{Name: k.Package, URI: k.uri, Digest: k.digest, Size: k.DownloadSize}
	has := func(have Kernel) bool { return have.Release == k.Release }
	return s.take(ctx, k, pkg, p, has, func(work, deb string) (Kernel, error) {
		p.Report("unpacking "+k.Package, 0, 0)
		stored, err := s.unpack(ctx, work, deb, k)
		if err != nil {
			return Kernel{}, fmt.Errorf("unpack %s: %w%s", k.Package, err, debian.Remedy(err))
		}
		return stored, nil
	})
}

// take downloads a package of a kernel's into a new folder, and returns what unpack makes
// of it. The kernel is locked meanwhile. If the cache's kernel has what is wanted by then,
// another process has brought it, and that is returned.
func (s Store) take(ctx context.Context, k Kernel, pkg debian.Package, p images.Progress, has func(Kernel) bool, unpack func(work, deb string) (Kernel, error)) (Kernel, error) {
	debarch, err := debianArch(k.Arch)
	if err != nil {
		return Kernel{}, err
	}
	lock, err := s.Cache.Lock(ctx, k.Arch+"-"+k.Release)
	if err != nil {
		return Kernel{}, err
	}
	defer lock.Close()
	if have, err := s.Find(k.Arch, k.Release); err == nil && has(have) {
		return have, nil
	}
	work, release, err := s.Cache.TempDir(ctx, "kernel")
	if err != nil {
		return Kernel{}, err
	}
	defer release()
	deb := filepath.Join(work, "package.deb")
	a, err := s.apt(k.Arch, debarch)
	if err != nil {
		return Kernel{}, err
	}
	if err := a.Download(ctx, pkg, deb, p); err != nil {
		return Kernel{}, err
	}
	return unpack(work, deb)
}

// imageEntry matches the image's name in a package, with its release.
var imageEntry = regexp.MustCompile(`^(?:boot/vmlinu[xz]-(.+)|(?:usr/)?lib/modules/([^/]+)/vmlinu[xz])$`)

// unpack streams a package's files past and keeps the image only: the modules of
// a package for riscv64 take ten times its space.
func (s Store) unpack(ctx context.Context, work, deb string, k Kernel) (stored Kernel, err error) {
	err = debian.Unpack(ctx, deb, func(tr *tar.Reader) (err error) {
		stored, err = s.imageFrom(ctx, tr, work, k)
		return err
	})
	return stored, err
}

func (s Store) imageFrom(ctx context.Context, tr *tar.Reader, work string, k Kernel) (Kernel, error) {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return Kernel{}, errors.New("it holds no kernel image, under neither boot nor lib/modules")
		}
		if err != nil {
			return Kernel{}, err
		}
		m := imageEntry.FindStringSubmatch(path.Clean(strings.TrimPrefix(h.Name, "./")))
		if m == nil || h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		if release := m[1] + m[2]; release != k.Release {
			return Kernel{}, fmt.Errorf("it holds an image of release %s, want %s", release, k.Release)
		}
		return s.store(ctx, work, k, tr, nil)
	}
}
