package linux

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/internal/intact"
)

// debugSuffix ends the name of the package with a kernel's vmlinux.
const debugSuffix = "-dbg"

// debugPackage is the package with a kernel's debug information.
type debugPackage struct {
	Package string `json:"package"`
	Size    int64  `json:"size"`
	URI     string `json:"uri"`
	Digest  string `json:"digest"`
}

// NoDebugError says that no debug package of a kernel is offered.
type NoDebugError struct {
	Kernel Kernel
}

func (e *NoDebugError) Error() string {
	next := "fetch a newer build: lab kernels fetch --refresh " + e.Kernel.Series + " --debug"
	if e.Kernel.Local {
		next = "add its vmlinux: lab kernels add --image FILE --vmlinux FILE"
	}
	return fmt.Sprintf("no suite of Debian offers debug information of %s for %s; %s", e.Kernel.Release, e.Kernel.Arch, next)
}

// FetchDebug brings the vmlinux of a cached kernel's debug package into the
// cache, and returns the kernel with its Vmlinux. check is asked about the file
// before it is kept: the image and the vmlinux have to be of one build.
func (s Store) FetchDebug(ctx context.Context, k Kernel, check func(vmlinux string) error, p images.Progress) (Kernel, error) {
	if k.Vmlinux != "" {
		return k, nil
	}
	if k.Local {
		return Kernel{}, &NoDebugError{k}
	}
	d, err := s.offeredDebug(ctx, k, p)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch debug information of %s: %w", k.Release, err)
	}
	got, err := s.downloadDebug(ctx, k, d, check, p)
	if err != nil {
		return Kernel{}, fmt.Errorf("fetch debug information of %s: %w", k.Release, err)
	}
	return got, nil
}

// offeredDebug finds the debug package of a kernel's build.
func (s Store) offeredDebug(ctx context.Context, k Kernel, p images.Progress) (debugPackage, error) {
	for _, refresh := range []bool{false, true} {
		if refresh && s.readWithin(k.Arch, again) {
			break
		}
		ks, err := s.offered(ctx, k.Arch, refresh, p)
		if err != nil {
			return debugPackage{}, err
		}
		for _, o := range ks {
			if o.Release == k.Release && o.PackageVersion == k.PackageVersion && o.debug.Package != "" {
				return o.debug, nil
			}
		}
	}
	return debugPackage{}, &NoDebugError{k}
}

func (s Store) downloadDebug(ctx context.Context, k Kernel, d debugPackage, check func(string) error, p images.Progress) (Kernel, error) {
	pkg := debian.Package{Name: d.Package, URI: d.URI, Digest: d.Digest, Size: d.Size}
	has := func(have Kernel) bool { return have.Vmlinux != "" }
	return s.take(ctx, k, pkg, p, has, func(work, deb string) (Kernel, error) {
		file := filepath.Join(work, debugName)
		what := "unpacking " + d.Package
		p.Report(what, 0, 0)
		err := debian.Unpack(ctx, deb, func(tr *tar.Reader) error {
			return vmlinuxFrom(ctx, tr, k.Release, file, func(done, size int64) { p.Report(what, done, size) })
		})
		if err != nil {
			return Kernel{}, fmt.Errorf("unpack %s: %w%s", d.Package, err, debian.Remedy(err))
		}
		os.Remove(deb)
		if err := check(file); err != nil {
			return Kernel{}, err
		}
		return s.placeDebug(k, file)
	})
}

// placeDebug moves a vmlinux beside its kernel. The record is written last, so
// the file counts only when it is whole. The caller holds the kernel's lock.
func (s Store) placeDebug(k Kernel, file string) (Kernel, error) {
	dir := filepath.Dir(k.Path)
	info, err := os.Stat(file)
	if err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(file, filepath.Join(dir, debugName)); err != nil {
		return Kernel{}, err
	}
	if err := os.Rename(file+intact.Suffix, filepath.Join(dir, debugName+intact.Suffix)); err != nil {
		return Kernel{}, err
	}
	have, err := readKernel(dir)
	if err != nil {
		return Kernel{}, err
	}
	r := kernelRecord{Schema: kernelSchema, Kernel: have, VmlinuxSize: info.Size()}
	if err := r.write(dir); err != nil {
		return Kernel{}, err
	}
	return readKernel(dir)
}

// vmlinuxEntry matches the vmlinux in a debug package, with its release.
var vmlinuxEntry = regexp.MustCompile(`^usr/lib/debug/(?:boot/vmlinux-(.+)|(?:usr/)?lib/modules/([^/]+)/vmlinux)$`)

// vmlinuxFrom takes the vmlinux out of a debug package.
func vmlinuxFrom(ctx context.Context, tr *tar.Reader, release, file string, tell func(done, size int64)) error {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return errors.New("it holds no vmlinux below usr/lib/debug")
		}
		if err != nil {
			return err
		}
		m := vmlinuxEntry.FindStringSubmatch(path.Clean(strings.TrimPrefix(h.Name, "./")))
		if m == nil || h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		if got := m[1] + m[2]; got != release {
			return fmt.Errorf("it holds the vmlinux of %s, want %s", got, release)
		}
		return intact.Write(file, 0o600, func(w io.Writer) error {
			n := telling{w: w, size: h.Size, tell: tell}
			_, err := io.Copy(&n, tr)
			return err
		})
	}
}

// telling says how far a copy has come, every few megabytes.
type telling struct {
	w          io.Writer
	done, said int64
	size       int64
	tell       func(done, size int64)
}

func (t *telling) Write(b []byte) (int, error) {
	n, err := t.w.Write(b)
	const step = 4 << 20
	if t.done += int64(n); t.done-t.said >= step {
		t.said = t.done
		t.tell(t.done, t.size)
	}
	return n, err
}
