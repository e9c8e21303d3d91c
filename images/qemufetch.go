package images

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Lab's own QEMU is Debian's, from one suite, together with every library down to
// the C library: apt-get resolves the dependencies as if nothing was installed.
const qemuSuite = "trixie"

// qemuPackages hold the programs and clockLibrary; they depend on the packages with
// the firmware.
var qemuPackages = []string{"qemu-system-x86", "qemu-system-riscv", "libfaketime"}

// qemuPrograms are kept, and what they need. Optional modules are not: they are
// for displays, sound and USB devices that no machine of lab's has.
var qemuPrograms = []string{"qemu-system-x86_64", "qemu-system-riscv64"}

// qemuFirmware is what the machines "pc" and "virt" load, with a kernel given to
// them by -kernel.
var qemuFirmware = []string{
	"bios-256k.bin", "kvmvapic.bin", "linuxboot.bin", "linuxboot_dma.bin", "multiboot.bin", "multiboot_dma.bin", "pvh.bin",
	"vgabios-stdvga.bin", "opensbi-riscv64-generic-fw_dynamic.bin",
}

// libgcc_s is loaded by the C library when a thread is cancelled or ends itself,
// so it is named by no program.
const libgcc = "libgcc_s.so.1"

// qemuSuffix tells the folders of this schema from those of an older lab, which uses
// the same cache and would replace what it does not know.
const qemuSuffix = "+faketime"

// makeQEMU fetches the packages, keeps what the programs need, and moves it into
// the cache. The caller holds the lock.
func (c *Cache) makeQEMU(ctx context.Context, work string, p Progress) (QEMU, error) {
	a, err := c.qemuApt(ctx, work)
	if err != nil {
		return QEMU{}, err
	}
	if err := a.prepare(ctx); err != nil {
		return QEMU{}, err
	}
	warnings, err := a.update(ctx, p)
	if err != nil {
		return QEMU{}, err
	}
	for _, w := range warnings {
		c.warn(w)
	}
	debs, version, err := a.resolve(ctx, qemuPackages)
	if err != nil {
		return QEMU{}, err
	}
	parent, err := c.Path(qemuPart, runtime.GOARCH)
	if err != nil {
		return QEMU{}, err
	}
	_, name, ok := strings.Cut(version, ":")
	if !ok {
		name = version
	}
	final := filepath.Join(parent, name+qemuSuffix)
	if q, err := readQEMU(final); err == nil {
		return q, nil // the newest is in the cache
	}
	tree := filepath.Join(work, "tree")
	if err := a.unpackAll(ctx, debs, tree, p); err != nil {
		return QEMU{}, err
	}
	dir := filepath.Join(work, "qemu")
	facts := qemuFacts{Schema: qemuSchema, PackageVersion: version, Suite: qemuSuite}
	if facts.Files, facts.Loader, err = assemble(ctx, tree, dir); err != nil {
		return QEMU{}, fmt.Errorf("assemble it from Debian's packages: %w", err)
	}
	if facts.Version, err = checkQEMU(ctx, QEMU{Dir: dir, loader: facts.Loader}); err != nil {
		return QEMU{}, err
	}
	if facts.Preload, err = preloads(ctx, QEMU{Dir: dir, loader: facts.Loader}, qemuPrograms); err != nil {
		return QEMU{}, err
	}
	if err := facts.write(dir); err != nil {
		return QEMU{}, err
	}
	if exists(final) { // incomplete
		if err := os.Rename(final, filepath.Join(work, "old")); err != nil {
			return QEMU{}, err
		}
	}
	if err := os.Rename(dir, final); err != nil {
		return QEMU{}, err
	}
	return readQEMU(final)
}

// qemuApt returns apt for packages of the host's architecture, with its state in
// the work folder.
func (c *Cache) qemuApt(ctx context.Context, work string) (apt, error) {
	out, err := command{Path: "dpkg", Args: []string{"--print-architecture"}, Env: append(os.Environ(), "LC_ALL=C.UTF-8")}.run(ctx)
	if err != nil {
		return apt{}, fmt.Errorf("ask for the host's architecture: %w", err)
	}
	etc := c.aptEtc
	if etc == "" {
		etc = "/etc/apt"
	}
	m, err := findMirrors(etc)
	if err != nil {
		return apt{}, err
	}
	return apt{
		dir: filepath.Join(work, "apt"), arch: strings.TrimSpace(string(out)),
		suites: []suite{{name: qemuSuite}}, mirrors: m, trusted: c.trusted, resolves: true,
	}, nil
}

// deb is a package that apt would install.
type deb struct {
	uri, name, digest string
	size              int64
}

// uriLine is a line of "apt-get --print-uris": 'URI' FILE SIZE HASH.
var uriLine = regexp.MustCompile(`(?m)^'([^']+)' (\S+) ([0-9]+) (SHA256:[0-9a-f]{64})$`)

// resolve returns the packages of which an installation of wanted consists, and
// the version of the first.
func (a apt) resolve(ctx context.Context, wanted []string) (debs []deb, version string, err error) {
	args := []string{"install", "-q", "--yes", "--no-install-recommends", "--print-uris", "-o", "Acquire::ForceHash=SHA256"}
	out, err := a.run(ctx, "apt-get", append(args, wanted...)...)
	if err != nil {
		return nil, "", fmt.Errorf("find the packages %s in %s: %w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", strings.Join(wanted, ", "), qemuSuite, err)
	}
	return parseURIs(string(out), wanted[0])
}

func parseURIs(out, first string) (debs []deb, version string, err error) {
	for _, m := range uriLine.FindAllStringSubmatch(out, -1) {
		size, err := strconv.ParseInt(m[3], 10, 64)
		if err != nil {
			return nil, "", fmt.Errorf("read apt-get's answer %q: %w", m[0], err)
		}
		d := deb{uri: m[1], name: m[2], size: size, digest: m[4]}
		if d.name != filepath.Base(d.name) {
			return nil, "", fmt.Errorf("read apt-get's answer: %q is no file name", d.name)
		}
		debs = append(debs, d)
		// NAME_VERSION_ARCH.deb, with %3a for the colon of an epoch
		if f := strings.Split(d.name, "_"); len(f) == 3 && f[0] == first {
			if version, err = url.PathUnescape(f[1]); err != nil {
				return nil, "", fmt.Errorf("read apt-get's answer %q: %w", d.name, err)
			}
		}
	}
	if version == "" || strings.Contains(version, "/") {
		return nil, "", fmt.Errorf("read apt-get's answer: no package %s in it: %s", first, strings.TrimSpace(out))
	}
	return debs, version, nil
}

// unpackAll downloads packages and unpacks what may be needed of them below tree.
func (a apt) unpackAll(ctx context.Context, debs []deb, tree string, p Progress) error {
	dir := filepath.Join(a.dir, "debs")
	for _, d := range []string{dir, tree} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	args := []string{"download-file"}
	var total int64
	for _, d := range debs {
		args = append(args, d.uri, filepath.Join(dir, d.name), d.digest)
		total += d.size
	}
	const what = "downloading QEMU"
	p.report(what, 0, total)
	stop := watchSize(dir, func(n int64) { p.report(what, min(n, total), total) })
	_, err := a.run(ctx, helper, args...)
	stop()
	if err != nil {
		return fmt.Errorf("download it: %w; check the network, or set LAB_DEBIAN_MIRROR to another mirror", err)
	}
	to, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer to.Close()
	var done int64
	for _, d := range debs {
		p.report("unpacking QEMU", done, total)
		done += d.size
		err := streamPackage(ctx, filepath.Join(dir, d.name), func(tr *tar.Reader) error { return unpackNeeded(ctx, tr, to) })
		if err != nil {
			return fmt.Errorf("unpack %s: %w", d.name, err)
		}
	}
	return nil
}

// library matches the file names of shared libraries.
var library = regexp.MustCompile(`\.so(\.|$)`)

// mayNeed reports whether the file of a package can be part of QEMU.
func mayNeed(name string) bool {
	base := path.Base(name)
	switch {
	case strings.HasPrefix(name, "usr/bin/"):
		return slices.Contains(qemuPrograms, base)
	case library.MatchString(base):
		return true
	}
	// The firmware of riscv64 is a link to one of these.
	return slices.Contains(qemuFirmware, base) || base == "fw_dynamic.bin"
}

// unpackNeeded writes those files of a package that mayNeed names. Nothing of it
// leaves the folder.
func unpackNeeded(ctx context.Context, tr *tar.Reader, to *os.Root) error {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "./"))
		if !mayNeed(name) {
			continue
		}
		if err := to.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			err = to.Symlink(h.Linkname, name)
		case tar.TypeLink:
			err = to.Link(path.Clean(strings.TrimPrefix(h.Linkname, "./")), name)
		case tar.TypeReg:
			_, err = writeNew(to, name, readerCtx{ctx, tr})
		}
		if err != nil {
			return err
		}
	}
}

// writeNew writes a file that there is not yet.
func writeNew(to *os.Root, name string, from io.Reader) (int64, error) {
	perm := fs.FileMode(0o600)
	if library.MatchString(name) || slices.Contains(qemuPrograms, path.Base(name)) {
		perm = 0o700
	}
	f, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(f, from)
	return n, errors.Join(err, f.Close())
}

// assembly is a QEMU in the making.
type assembly struct {
	ctx   context.Context
	tree  *os.Root            // what was unpacked
	to    *os.Root            // the finished folder
	found map[string][]string // paths in tree by file name, the likeliest first
	files map[string]int64    // sizes of what is in to, by path
}

// assemble makes a folder of the programs, the libraries that they need, and their
// firmware from an unpacked tree. It returns the sizes of its files, and the name
// of the dynamic loader that the programs ask for.
func assemble(ctx context.Context, tree, dir string) (files map[string]int64, loader string, err error) {
	for _, d := range []string{qemuBin, qemuLib, qemuShare} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, "", err
		}
	}
	s := assembly{ctx: ctx, found: map[string][]string{}, files: map[string]int64{}}
	if s.tree, err = os.OpenRoot(tree); err != nil {
		return nil, "", err
	}
	defer s.tree.Close()
	if s.to, err = os.OpenRoot(dir); err != nil {
		return nil, "", err
	}
	defer s.to.Close()
	if err := s.index(); err != nil {
		return nil, "", err
	}
	for _, program := range qemuPrograms {
		if loader, err = s.program(program); err != nil {
			return nil, "", err
		}
	}
	if err := s.libraries("lab", []string{clockLibrary}); err != nil {
		return nil, "", err
	}
	if len(s.found[libgcc]) > 0 {
		if err := s.libraries("the C library", []string{libgcc}); err != nil {
			return nil, "", err
		}
	}
	for _, name := range qemuFirmware {
		if err := s.copy(name, qemuShare); err != nil {
			return nil, "", err
		}
	}
	return s.files, loader, nil
}

// index finds the unpacked files. Of those with the same name the one that is
// nearest to the root comes first: deeper ones are for plugins and for particular
// processors.
func (s *assembly) index() error {
	err := fs.WalkDir(s.tree.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			s.found[path.Base(name)] = append(s.found[path.Base(name)], name)
		}
		return err
	})
	for _, paths := range s.found {
		slices.SortFunc(paths, func(a, b string) int {
			return cmp.Or(strings.Count(a, "/")-strings.Count(b, "/"), cmp.Compare(a, b))
		})
	}
	return err
}

// copy puts the file of that name into a folder, unless it is there.
func (s *assembly) copy(name, folder string) error {
	to := path.Join(folder, name)
	if _, ok := s.files[to]; ok {
		return nil
	}
	err := fmt.Errorf("no package holds %s: %w", name, fs.ErrNotExist)
	for _, from := range s.found[name] {
		var f *os.File
		if f, err = s.tree.Open(from); err != nil {
			continue // a link that leads nowhere
		}
		defer f.Close()
		s.files[to], err = writeNew(s.to, to, readerCtx{s.ctx, f})
		return err
	}
	return err
}

// program adds a program, its loader and its libraries.
func (s *assembly) program(name string) (loader string, err error) {
	if err := s.copy(name, qemuBin); err != nil {
		return "", err
	}
	interp, needed, err := s.links(path.Join(qemuBin, name))
	if err != nil {
		return "", err
	}
	if interp == "" {
		return "", fmt.Errorf("%s names no dynamic loader", name)
	}
	loader = path.Base(interp)
	return loader, s.libraries(name, append([]string{loader}, needed...))
}

// libraries adds libraries and all that they need in turn. by is who needs them.
func (s *assembly) libraries(by string, names []string) error {
	for _, name := range names {
		to := path.Join(qemuLib, name)
		if _, ok := s.files[to]; ok {
			continue
		}
		if err := s.copy(name, qemuLib); err != nil {
			return fmt.Errorf("%s needs %s: %w", by, name, err)
		}
		_, needed, err := s.links(to)
		if err != nil {
			return err
		}
		if err := s.libraries(name, needed); err != nil {
			return err
		}
	}
	return nil
}

// links returns the dynamic loader that an executable asks for (PT_INTERP) and
// the libraries that it needs (DT_NEEDED).
func (s *assembly) links(name string) (interp string, needed []string, err error) {
	file, err := s.to.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	f, err := elf.NewFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("read %s: %w", name, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err != nil {
				return "", nil, fmt.Errorf("read the interpreter of %s: %w", name, err)
			}
			interp = strings.TrimRight(string(b), "\x00")
		}
	}
	if needed, err = f.ImportedLibraries(); err != nil {
		return "", nil, fmt.Errorf("read what %s needs: %w", name, err)
	}
	for _, n := range needed {
		if n != path.Base(n) {
			return "", nil, fmt.Errorf("%s needs %q, which is no file name", name, n)
		}
	}
	return interp, needed, nil
}

var qemuVersion = regexp.MustCompile(`^QEMU emulator version ([0-9]+(?:\.[0-9]+)+)`)

// checkQEMU runs the programs of a folder and returns their version.
func checkQEMU(ctx context.Context, q QEMU) (string, error) {
	versions := map[string]string{}
	for _, program := range qemuPrograms {
		words := append(q.Command(program), "--version")
		out, err := command{Path: words[0], Args: words[1:]}.run(ctx)
		if err != nil {
			return "", fmt.Errorf("run %s: %w", program, err)
		}
		if bytes.Contains(out, []byte("cannot be preloaded")) { // which ld.so(8) ignores
			return "", fmt.Errorf("run %s: %s", program, bytes.TrimSpace(out))
		}
		m := qemuVersion.FindSubmatch(out)
		if m == nil {
			return "", fmt.Errorf("run %s --version: no version in %q", program, out)
		}
		versions[string(m[1])] = program
	}
	if len(versions) != 1 {
		return "", fmt.Errorf("the programs are of several versions: %s", strings.Join(slices.Sorted(maps.Keys(versions)), ", "))
	}
	for v := range versions {
		return v, nil
	}
	return "", nil
}
