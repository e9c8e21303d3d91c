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
	"kernellab/internal/intact"
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
	VmlinuxErr     error  `json:"-"`                       // why there is none, when there was one
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

// DamagedError says that a cached kernel cannot be used, because a file of it is not what
// was put there.
type DamagedError struct {
	Kernel Kernel // without its files
	Err    error
}

func (e *DamagedError) Error() string {
	next := fmt.Sprintf("fetch it again: lab kernels fetch %s --arch %s", e.Kernel.Release, e.Kernel.Arch)
	if e.Kernel.Local {
		next = "add it again: lab kernels add --image FILE"
	}
	return fmt.Sprintf("kernel %s: %v; %s", e.Kernel.Release, e.Err, next)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Kernels returns the cached kernels of an architecture, newest first. It needs
// no network. A kernel whose files are not all there, as they were put there, is left
// out: see [Store.Damaged].
func (s Store) Kernels(arch string) ([]Kernel, error) {
	ks, _, err := s.read(arch)
	return ks, err
}

// Damaged says why kernels of an architecture are left out.
func (s Store) Damaged(arch string) ([]*DamagedError, error) {
	_, damaged, err := s.read(arch)
	return damaged, err
}

func (s Store) read(arch string) (ks []Kernel, damaged []*DamagedError, err error) {
	if _, err := debianArch(arch); err != nil {
		return nil, nil, err
	}
	root, err := s.Cache.Root()
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(root, "kernels", arch)
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list kernels: %w", err)
	}
	for _, e := range list {
		k, err := readKernel(filepath.Join(dir, e.Name()))
		switch {
		case err == nil && k.Arch == arch && k.Release == e.Name():
			ks = append(ks, k)
		case intact.Damaged(err):
			// What is recorded may be what is damaged.
			d := named(arch, e.Name())
			d.Local = k.Local
			damaged = append(damaged, &DamagedError{Kernel: d, Err: err})
		}
	}
	sortKernels(ks)
	return ks, damaged, nil
}

// named is a kernel of which the release is known.
func named(arch, release string) Kernel {
	version := leadingVersion.FindString(release)
	return Kernel{Arch: arch, Release: release, Version: version, Series: series(version), Flavour: flavourOf(release)}
}

// readKernel reads what is recorded of a kernel, and checks its files. With a
// [*intact.DamagedError] it returns what it has read.
func readKernel(dir string) (Kernel, error) {
	record := filepath.Join(dir, recordName)
	b, err := intact.Read(record)
	if errors.Is(err, intact.ErrUnknown) { // of an older lab, or an exported cache
		b, err = regular.ReadFile(record, maxRecord)
	}
	if err != nil {
		return Kernel{}, err
	}
	var r kernelRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return Kernel{}, &intact.DamagedError{Path: record, Reason: err.Error()}
	}
	if r.Schema != kernelSchema {
		return Kernel{}, fmt.Errorf("%s: schema %q, want %q", recordName, r.Schema, kernelSchema)
	}
	k := r.Kernel
	k.Path = filepath.Join(dir, imageName)
	if err := intact.Is(k.Path, k.SHA256); err != nil {
		return k, missing(k.Path, err)
	}
	if r.VmlinuxSize > 0 {
		k.Vmlinux = filepath.Join(dir, debugName)
		if err := checkVmlinux(k.Vmlinux, r.VmlinuxSize); err != nil {
			k.Vmlinux, k.VmlinuxErr = "", missing(k.Vmlinux, err)
		}
	}
	return k, nil
}

// missing makes damage of a file's absence.
func missing(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &intact.DamagedError{Path: path, Reason: "it is gone"}
	}
	return err
}

// checkVmlinux checks a vmlinux, of which an older lab recorded the size only.
func checkVmlinux(path string, size int64) error {
	err := intact.Check(path)
	if !errors.Is(err, intact.ErrUnknown) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Size() != size {
		return &intact.DamagedError{Path: path, Reason: fmt.Sprintf("it has %d bytes, want %d", info.Size(), size)}
	}
	intact.Record(path) // a cache that cannot be written is checked by sizes
	return nil
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

// Find returns the cached kernel that spec names, without the network. When
// there is none it returns a [*NotFoundError], and a [*DamagedError] for one that cannot
// be used. See [Store.Fetch] for specs.
func (s Store) Find(arch, spec string) (Kernel, error) {
	ks, damaged, err := s.read(arch)
	if err != nil {
		return Kernel{}, err
	}
	if k, ok := match(ks, arch, spec); ok {
		return k, nil
	}
	for _, d := range damaged {
		if _, ok := match([]Kernel{d.Kernel}, arch, spec); ok {
			return Kernel{}, d
		}
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
	err = intact.Write(filepath.Join(dir, imageName), 0o600, func(w io.Writer) error {
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
		err := intact.Write(filepath.Join(dir, debugName), 0o600, func(w io.Writer) error {
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
	return intact.WriteBytes(filepath.Join(dir, recordName), 0o600, append(b, '\n'))
}

// debianArch returns Debian's name of an architecture as [Kernel.Arch] has it.
func debianArch(arch string) (string, error) {
	if a, ok := debianArches[arch]; ok {
		return a, nil
	}
	return "", fmt.Errorf("unknown architecture %q, want x86_64 or riscv64", arch)
}

var debianArches = map[string]string{"x86_64": "amd64", "riscv64": "riscv64"}
