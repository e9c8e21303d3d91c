// Package linux provides kernels: Debian's, from the packages of its suites, and local
// ones, from files. It keeps each in the cache, with what is recorded of it, and
// finds the one that a person names. It does not look into an image.
package linux

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// Store is the kernels of a cache.
type Store struct {
	Cache *images.Cache

	unsigned bool // packages need no signature: for the package's own tests
}

// In returns the kernels of a cache.
func In(c *images.Cache) Store { return Store{Cache: c} }

// Kernel is a kernel that is cached, or that Debian offers.
type Kernel struct {
	Arch           string `json:"arch"`    // x86_64 or riscv64
	Release        string `json:"release"` // what uname -r prints: 6.1.0-50-cloud-amd64
	Version        string `json:"version"` // upstream's: 6.1.176
	Series         string `json:"series"`  // 6.1
	Flavour        string `json:"flavour,omitempty"`
	Package        string `json:"package,omitempty"`
	PackageVersion string `json:"package_version,omitempty"`
	Suite          string `json:"suite,omitempty"`
	DownloadSize   int64  `json:"download_size,omitempty"` // of the package, in bytes
	SHA256         string `json:"sha256,omitempty"`        // of the image, when cached
	Size           int64  `json:"size,omitempty"`          // of the image, when cached
	Local          bool   `json:"local,omitempty"`         // added by the user
	Gone           bool   `json:"gone,omitempty"`          // cached, and no longer offered: see All
	Path           string `json:"-"`                       // the image file, "" when not cached
	Vmlinux        string `json:"-"`                       // the file with debug information, "" without one
	// DebugSize is the size of the package that has the vmlinux with debug
	// information, in bytes; 0 when none is offered.
	DebugSize int64 `json:"debug_size,omitempty"`

	uri    string // of the package
	digest string // of the package, in apt's notation
	debug  debugPackage
}

// Cached reports whether the kernel can be booted without a download.
func (k Kernel) Cached() bool { return k.Path != "" }

const (
	kernelSchema = "lab.kernel/1"
	imageName    = "vmlinuz"
	debugName    = "vmlinux"
	recordName   = "kernel.json"

	maxRecord = 16 << 20 // of a JSON file of the cache, in bytes
)

// kernelRecord is a kernel.json. It is written last, so a folder that has one
// is whole.
type kernelRecord struct {
	Schema string `json:"schema"`
	Kernel
	VmlinuxSize int64 `json:"vmlinux_size,omitempty"`
}

// NotFoundError is returned when no kernel answers to a spec.
type NotFoundError struct {
	Arch, Spec string
	// Near are specs that would be found, the likeliest first.
	Near []string
	// Offered tells that Debian's suites were searched too.
	Offered bool
}

func (e *NotFoundError) Error() string {
	where, next := "in the cache", fmt.Sprintf("run: lab kernels fetch %s --arch %s", e.Spec, e.Arch)
	if e.Offered {
		where, next = "in Debian's suites", "run: lab kernels list"
	}
	near := ""
	if len(e.Near) > 0 {
		near = " (there is " + strings.Join(e.Near, ", ") + ")"
	}
	return fmt.Sprintf("no kernel %q for %s %s%s; %s", e.Spec, e.Arch, where, near, next)
}

// DefaultSpec returns the kernel that is used when none is named. It is the
// series that boots most reliably under emulation: under QEMU 7.2, Debian's 6.12
// for x86_64 oopsed in 21 of 128 boots and 6.1 in none of 50, in half the time;
// on riscv64, 6.12 oopsed in none.
func DefaultSpec(arch string) string {
	if arch == "riscv64" {
		return "6.12"
	}
	return "6.1"
}

// Kernels returns the cached kernels of an architecture, newest first. It needs
// no network. A kernel whose files are not all there, at their size, is left
// out; [Store.Verify] reads them.
func (s Store) Kernels(arch string) ([]Kernel, error) {
	if _, err := debianArch(arch); err != nil {
		return nil, err
	}
	root, err := s.Cache.Root()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "kernels", arch)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list kernels: %w", err)
	}
	var ks []Kernel
	for _, e := range list {
		k, err := readKernel(filepath.Join(dir, e.Name()))
		if err != nil || k.Arch != arch || k.Release != e.Name() {
			continue
		}
		ks = append(ks, k)
	}
	sortKernels(ks)
	return ks, nil
}

func readKernel(dir string) (Kernel, error) {
	b, err := regular.ReadFile(filepath.Join(dir, recordName), maxRecord)
	if err != nil {
		return Kernel{}, err
	}
	var r kernelRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return Kernel{}, err
	}
	if r.Schema != kernelSchema {
		return Kernel{}, fmt.Errorf("%s: schema %q, want %q", recordName, r.Schema, kernelSchema)
	}
	k := r.Kernel
	k.Path = filepath.Join(dir, imageName)
	if err := images.HasSize(k.Path, k.Size); err != nil {
		return Kernel{}, err
	}
	if r.VmlinuxSize > 0 {
		k.Vmlinux = filepath.Join(dir, debugName)
		if err := images.HasSize(k.Vmlinux, r.VmlinuxSize); err != nil {
			return Kernel{}, err
		}
	}
	return k, nil
}

// sortKernels puts the newest first, and of one version the default flavour.
func sortKernels(ks []Kernel) {
	slices.SortStableFunc(ks, func(a, b Kernel) int {
		return cmp.Or(
			debian.CompareVersions(b.Version, a.Version),
			debian.CompareVersions(b.PackageVersion, a.PackageVersion),
			cmp.Compare(flavourRank(a), flavourRank(b)),
			cmp.Compare(a.Release, b.Release),
		)
	})
}

func flavourRank(k Kernel) int {
	switch {
	case k.Flavour == defaultFlavour(k.Arch):
		return 0
	case k.Local:
		return 1
	}
	return 2
}

// Verify reads a cached kernel's image and compares its hash with the recorded.
func (s Store) Verify(k Kernel) error {
	f, err := regular.Open(k.Path)
	if err != nil {
		return fmt.Errorf("verify kernel %s: %w", k.Release, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("verify kernel %s: %w", k.Release, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != k.SHA256 {
		return fmt.Errorf("verify kernel %s: %s has SHA256 %s, want %s; run: lab clean", k.Release, k.Path, got, k.SHA256)
	}
	return nil
}

// Find returns the cached kernel that spec names, without the network. When
// there is none it returns a [*NotFoundError]. See [Store.Fetch] for specs.
func (s Store) Find(arch, spec string) (Kernel, error) {
	ks, err := s.Kernels(arch)
	if err != nil {
		return Kernel{}, err
	}
	if k, ok := match(ks, arch, spec); ok {
		return k, nil
	}
	return Kernel{}, &NotFoundError{Arch: arch, Spec: spec, Near: nearest(ks, arch, spec)}
}

// Identity says what a local image is: the caller has looked into it.
type Identity struct {
	Arch    string // x86_64 or riscv64
	Release string // what uname -r prints
	Version string // upstream's; taken from Release when empty
}

var releaseName = regexp.MustCompile(`^[0-9][0-9A-Za-z.+~_-]*$`)

// Add copies a local image into the cache, and with it a vmlinux with debugging
// information if one is named. A local kernel of the same release is replaced.
func (s Store) Add(ctx context.Context, image, vmlinux string, id Identity) (Kernel, error) {
	k, err := s.add(ctx, image, vmlinux, id)
	if err != nil {
		return Kernel{}, fmt.Errorf("add kernel %s: %w", image, err)
	}
	return k, nil
}

func (s Store) add(ctx context.Context, image, vmlinux string, id Identity) (Kernel, error) {
	if _, err := debianArch(id.Arch); err != nil {
		return Kernel{}, err
	}
	if !releaseName.MatchString(id.Release) {
		return Kernel{}, fmt.Errorf("release %q, want one that starts with a digit and has letters, digits and .+~_- only", id.Release)
	}
	k := Kernel{Arch: id.Arch, Release: id.Release, Version: id.Version, Local: true}
	if k.Version == "" {
		k.Version = leadingVersion.FindString(id.Release)
	}
	k.Series = series(k.Version)
	if k.Series == "" {
		return Kernel{}, fmt.Errorf("version %q, want one like 6.12 or 6.12.107", k.Version)
	}
	k.Flavour = flavourOf(id.Release)
	have, err := s.Find(id.Arch, id.Release)
	if err == nil && have.Release == id.Release && !have.Local {
		return Kernel{}, fmt.Errorf("the cache holds %s from Debian's package %s already; give the local kernel another CONFIG_LOCALVERSION", id.Release, have.Package)
	}
	f, err := regular.Open(image)
	if err != nil {
		return Kernel{}, err
	}
	defer f.Close()
	var debug io.Reader
	if vmlinux != "" {
		d, err := regular.Open(vmlinux)
		if err != nil {
			return Kernel{}, err
		}
		defer d.Close()
		debug = d
	}
	lock, err := s.Cache.Lock(ctx, k.Arch+"-"+k.Release)
	if err != nil {
		return Kernel{}, err
	}
	defer lock.Close()
	work, release, err := s.Cache.TempDir(ctx, "kernel")
	if err != nil {
		return Kernel{}, err
	}
	defer release()
	return s.store(ctx, work, k, f, debug)
}

// store puts a kernel's files in a folder of the work folder and moves that into
// place, whole. The caller holds the kernel's lock.
func (s Store) store(ctx context.Context, work string, k Kernel, image, debug io.Reader) (Kernel, error) {
	parent, err := s.Cache.Path("kernels", k.Arch)
	if err != nil {
		return Kernel{}, err
	}
	dir := filepath.Join(work, "kernel")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Kernel{}, err
	}
	h := sha256.New()
	err = atomicfile.Write(filepath.Join(dir, imageName), 0o600, func(w io.Writer) error {
		var err error
		k.Size, err = io.Copy(io.MultiWriter(w, h), images.Reader(ctx, image))
		return err
	})
	if err != nil {
		return Kernel{}, err
	}
	if k.Size == 0 {
		return Kernel{}, errors.New("the image is empty")
	}
	k.SHA256 = hex.EncodeToString(h.Sum(nil))
	r := kernelRecord{Schema: kernelSchema, Kernel: k}
	if debug != nil {
		err := atomicfile.Write(filepath.Join(dir, debugName), 0o600, func(w io.Writer) error {
			var err error
			r.VmlinuxSize, err = io.Copy(w, images.Reader(ctx, debug))
			return err
		})
		if err != nil {
			return Kernel{}, err
		}
	}
	if err := r.write(dir); err != nil {
		return Kernel{}, err
	}
	final := filepath.Join(parent, k.Release)
	if images.Exists(final) { // incomplete, or a local kernel to be replaced
		if err := os.Rename(final, filepath.Join(work, "old")); err != nil {
			return Kernel{}, err
		}
	}
	if err := os.Rename(dir, final); err != nil {
		return Kernel{}, err
	}
	return readKernel(final)
}

func (r kernelRecord) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(filepath.Join(dir, recordName), 0o600, append(b, '\n'))
}

// debianArch returns Debian's name of an architecture as [Kernel.Arch] has it.
func debianArch(arch string) (string, error) {
	if a, ok := debianArches[arch]; ok {
		return a, nil
	}
	return "", fmt.Errorf("unknown architecture %q, want x86_64 or riscv64", arch)
}

var debianArches = map[string]string{"x86_64": "amd64", "riscv64": "riscv64"}
