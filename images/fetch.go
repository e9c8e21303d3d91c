package images

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"kernellab/internal/atomicfile"
)

// Offered returns the kernels that Debian's suites offer, newest first, one for
// each release. Those that are cached have a Path. The package indexes are read
// at most once a day; [Cache.Refresh] reads them now. A suite that cannot be read
// is passed over and told to Warn.
func (c *Cache) Offered(ctx context.Context, arch string, p Progress) ([]Kernel, error) {
	return c.offered(ctx, arch, false, p)
}

// Refresh reads the package indexes anew, and returns what [Cache.Offered] does.
func (c *Cache) Refresh(ctx context.Context, arch string, p Progress) ([]Kernel, error) {
	return c.offered(ctx, arch, true, p)
}

func (c *Cache) offered(ctx context.Context, arch string, refresh bool, p Progress) ([]Kernel, error) {
	goarch, err := GoArch(arch) // Debian's names of these two are Go's
	if err != nil {
		return nil, err
	}
	ks, err := c.readIndexes(ctx, arch, goarch, refresh, p)
	if err != nil {
		return nil, fmt.Errorf("list the kernels that Debian offers for %s: %w", arch, err)
	}
	have, err := c.Kernels(arch)
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
func (c *Cache) apt(arch, debarch string) (apt, error) {
	dir, err := c.Path("apt", debarch)
	if err != nil {
		return apt{}, err
	}
	etc := c.aptEtc
	if etc == "" {
		etc = "/etc/apt"
	}
	m, err := findMirrors(etc)
	if err != nil {
		return apt{}, err
	}
	return apt{dir: dir, arch: debarch, suites: suites(arch), mirrors: m, trusted: c.trusted}, nil
}

func (c *Cache) readIndexes(ctx context.Context, arch, debarch string, refresh bool, p Progress) ([]Kernel, error) {
	a, err := c.apt(arch, debarch)
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(a.dir, "offer.json")
	sources := a.sources()
	read := func(limit time.Duration) ([]Kernel, bool) {
		o, err := readOffer(kept)
		age := time.Since(o.When)
		return o.kernels(), err == nil && o.Sources == sources && age >= 0 && age < limit
	}
	fresh := func() ([]Kernel, bool) { return read(refreshAfter) }
	if ks, ok := fresh(); ok && !refresh {
		return ks, nil
	}
	lock, err := c.lock(ctx, "apt-"+debarch)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if ks, ok := fresh(); ok && !refresh {
		return ks, nil
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	warnings, err := a.update(ctx, p)
	if err != nil {
		if ks, ok := read(math.MaxInt64); ok && !refresh && ctx.Err() == nil {
			c.warn(fmt.Sprintf("the list of kernels is out of date: %v", err))
			return ks, nil
		}
		return nil, err
	}
	for _, w := range warnings {
		c.warn(w)
	}
	var all []Kernel
	for _, x := range a.indexes() {
		ks, err := a.kernels(ctx, arch, x)
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
	return all, atomicfile.Write(kept, 0o600, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// again is how soon after the indexes were read they are not read again because
// of a kernel that is not in them.
const again = 10 * time.Minute

// readWithin reports whether the indexes were read in the time before now.
func (c *Cache) readWithin(arch string, limit time.Duration) bool {
	goarch, err := GoArch(arch)
	if err != nil {
		return false
	}
	a, err := c.apt(arch, goarch)
	if err != nil {
		return false
	}
	o, err := readOffer(filepath.Join(a.dir, "offer.json"))
	age := time.Since(o.When)
	return err == nil && o.Sources == a.sources() && age >= 0 && age < limit
}

// Fetch returns the kernel that spec names, from the cache if it can and from
// Debian if it must. A spec is a series, "6.12", for its newest build of the
// default flavour; a version, "6.12.107"; either with a flavour, "7.2-rt"; or a
// release, "6.1.0-50-cloud-amd64". A series with any build in the cache is taken
// from there: [Cache.FetchNewest] looks for a newer one.
func (c *Cache) Fetch(ctx context.Context, arch, spec string, p Progress) (Kernel, error) {
	return c.fetch(ctx, arch, spec, false, p)
}

// FetchNewest is Fetch that asks Debian even when the cache has an answer. What
// no suite offers any more is still taken from the cache.
func (c *Cache) FetchNewest(ctx context.Context, arch, spec string, p Progress) (Kernel, error) {
	return c.fetch(ctx, arch, spec, true, p)
}

func (c *Cache) fetch(ctx context.Context, arch, spec string, newest bool, p Progress) (Kernel, error) {
	if err := c.Sweep(); err != nil {
		return Kernel{}, err
	}
	k, err := c.Find(arch, spec)
	var missing *NotFoundError
	switch {
	case err == nil && (!newest || k.Local || exact(spec)):
		return k, nil
	case err != nil && !errors.As(err, &missing):
		return Kernel{}, err
	}
	ks, err := c.offered(ctx, arch, newest, p)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
	}
	have := k
	k, ok := match(ks, arch, spec)
	if !ok && have.Cached() {
		return have, nil
	}
	if !ok && !newest && !c.readWithin(arch, again) {
		// The index may be a day old, and the kernel new.
		if ks, err = c.offered(ctx, arch, true, p); err != nil {
			return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
		}
		k, ok = match(ks, arch, spec)
	}
	if !ok {
		return Kernel{}, &NotFoundError{Arch: arch, Spec: spec, Near: nearest(ks, arch, spec), Offered: true}
	}
	if k.Cached() {
		return c.Find(arch, k.Release)
	}
	if k, err = c.download(ctx, k, p); err != nil {
		return Kernel{}, fmt.Errorf("fetch kernel %s: %w", spec, err)
	}
	return k, nil
}

// download gets a package, checks it, and takes the image out of it.
func (c *Cache) download(ctx context.Context, k Kernel, p Progress) (Kernel, error) {
	debarch, err := GoArch(k.Arch)
	if err != nil {
		return Kernel{}, err
	}
	lock, err := c.lock(ctx, k.Arch+"-"+k.Release)
	if err != nil {
		return Kernel{}, err
	}
	defer lock.Close()
	if have, err := c.Find(k.Arch, k.Release); err == nil && have.Release == k.Release {
		return have, nil // another process made it meanwhile
	}
	work, release, err := c.TempDir(ctx, "kernel")
	if err != nil {
		return Kernel{}, err
	}
	defer release()
	deb := filepath.Join(work, "package.deb")
	if err := c.downloadPackage(ctx, k.Arch, debarch, k.Package, k.uri, k.digest, k.DownloadSize, deb, p); err != nil {
		return Kernel{}, err
	}
	p.report("unpacking "+k.Package, 0, 0)
	stored, err := c.unpack(ctx, work, deb, k)
	if err != nil {
		return Kernel{}, fmt.Errorf("unpack %s: %w%s", k.Package, err, remedy(err))
	}
	return stored, nil
}

// downloadPackage gets a package and checks its hash.
func (c *Cache) downloadPackage(ctx context.Context, arch, debarch, name, uri, digest string, size int64, deb string, p Progress) error {
	a, err := c.apt(arch, debarch)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(a.dir, "apt.conf")); err != nil {
		if err := a.prepare(ctx); err != nil {
			return err
		}
	}
	what := "downloading " + name
	p.report(what, 0, size)
	stop := watchSize(filepath.Dir(deb), func(n int64) { p.report(what, min(n, size), size) })
	_, err = a.run(ctx, helper, "download-file", uri, deb, digest)
	stop()
	if err != nil {
		return fmt.Errorf("download %s: %w%s", name, err, remedy(err))
	}
	p.report(what, size, size)
	return nil
}

// remedy returns what to do about a download that failed, if that is known.
func remedy(err error) string {
	var c *commandError
	switch {
	case diskFull(err):
		return "; make room with: lab clean, or set LAB_CACHE to a folder on another disk"
	case !errors.As(err, &c) || c.Name != helper:
		return ""
	case strings.Contains(c.Output, "Hash Sum mismatch"), strings.Contains(c.Output, "unexpected size"), strings.Contains(c.Output, "404  Not Found"):
		return "; the package index may be out of date, run: lab kernels fetch --refresh, or set LAB_DEBIAN_MIRROR to another mirror"
	}
	return "; check the network, or set LAB_DEBIAN_MIRROR to another mirror"
}

// imageEntry matches the image's name in a package, with its release.
var imageEntry = regexp.MustCompile(`^(?:boot/vmlinu[xz]-(.+)|(?:usr/)?lib/modules/([^/]+)/vmlinu[xz])$`)

// unpack streams a package's files past and keeps the image only: the modules of
// a package for riscv64 take ten times its space.
func (c *Cache) unpack(ctx context.Context, work, deb string, k Kernel) (stored Kernel, err error) {
	err = streamPackage(ctx, deb, func(tr *tar.Reader) (err error) {
		stored, err = c.imageFrom(ctx, tr, work, k)
		return err
	})
	return stored, err
}

// streamPackage gives the files of a package to take, which need not read them all.
func streamPackage(ctx context.Context, deb string, take func(*tar.Reader) error) error {
	sub, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rd, wr := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := command{Path: "dpkg-deb", Args: []string{"--fsys-tarfile", deb}, Stdout: wr, Env: append(os.Environ(), "LC_ALL=C.UTF-8")}.run(sub)
		wr.CloseWithError(firstError(err, io.EOF))
	})
	err := take(tar.NewReader(rd))
	// Nothing after what was looked for is wanted.
	cancel(errImageFound)
	rd.CloseWithError(errImageFound)
	wg.Wait()
	return err
}

var errImageFound = errors.New("the image was found")

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cache) imageFrom(ctx context.Context, tr *tar.Reader, work string, k Kernel) (Kernel, error) {
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
		return c.store(ctx, work, k, tr, nil)
	}
}

// watchSize tells how many bytes are in a folder, a few times a second, until
// the function it returns is called.
func watchSize(dir string, tell func(int64)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for last := int64(0); ; {
			select {
			case <-done:
				return
			case <-t.C:
			}
			var n int64
			filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if info, err := d.Info(); err == nil {
						n += info.Size()
					}
				}
				return nil
			})
			if n != last {
				last = n
				tell(n)
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

func (c *Cache) warn(text string) {
	if c.Warn != nil {
		c.Warn(text)
	}
}
