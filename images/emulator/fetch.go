package emulator

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"kernellab/images"
	"kernellab/images/debian"
	"kernellab/internal/command"
	"kernellab/internal/intact"
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

// make fetches the packages, keeps what the programs need, and moves it into
// the cache. The caller holds the lock.
func (s Store) make(ctx context.Context, work string, p images.Progress) (QEMU, error) {
	a, err := s.apt(ctx, work)
	if err != nil {
		return QEMU{}, err
	}
	if err := a.Prepare(ctx); err != nil {
		return QEMU{}, err
	}
	warnings, err := a.Update(ctx, p)
	if err != nil {
		return QEMU{}, err
	}
	for _, w := range warnings {
		s.Cache.Warning(w)
	}
	debs, version, err := a.Resolve(ctx, qemuPackages)
	if err != nil {
		return QEMU{}, err
	}
	parent, err := s.Cache.Path(qemuPart, runtime.GOARCH)
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
	if err := unpackAll(ctx, a, debs, tree, p); err != nil {
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
	if err := intact.SealFolder(dir); err != nil {
		return QEMU{}, err
	}
	if images.Exists(final) { // incomplete
		if err := os.Rename(final, filepath.Join(work, "old")); err != nil {
			return QEMU{}, err
		}
	}
	if err := os.Rename(dir, final); err != nil {
		return QEMU{}, err
	}
	return readQEMU(final)
}

// apt returns apt for packages of the host's architecture, with its state in the work
// folder.
func (s Store) apt(ctx context.Context, work string) (debian.Apt, error) {
	arch, err := debian.HostArch(ctx)
	if err != nil {
		return debian.Apt{}, err
	}
	return debian.New(debian.Config{
		Dir: filepath.Join(work, "apt"), Arch: arch, Suites: []debian.Suite{{Name: qemuSuite}}, Resolves: true, Unsigned: s.unsigned,
	})
}

// unpackAll downloads packages and unpacks what may be needed of them below tree.
func unpackAll(ctx context.Context, a debian.Apt, debs []debian.Package, tree string, p images.Progress) error {
	dir := filepath.Join(a.Dir, "debs")
	for _, d := range []string{dir, tree} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if err := a.DownloadAll(ctx, debs, dir, "downloading QEMU", p); err != nil {
		return err
	}
	to, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer to.Close()
	var done, total int64
	for _, d := range debs {
		total += d.Size
	}
	for _, d := range debs {
		p.Report("unpacking QEMU", done, total)
		done += d.Size
		err := debian.Unpack(ctx, filepath.Join(dir, d.Name), func(tr *tar.Reader) error { return unpackNeeded(tr, to) })
		if err != nil {
			return fmt.Errorf("unpack %s: %w", d.Name, err)
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
func unpackNeeded(tr *tar.Reader, to *os.Root) error {
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
			_, err = writeNew(to, name, tr)
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

var qemuVersion = regexp.MustCompile(`^QEMU emulator version ([0-9]+(?:\.[0-9]+)+)`)

// checkQEMU runs the programs of a folder and returns their version.
func checkQEMU(ctx context.Context, q QEMU) (string, error) {
	versions := map[string]string{}
	for _, program := range qemuPrograms {
		words := append(q.Command(program), "--version")
		out, err := command.Command{Path: words[0], Args: words[1:]}.Run(ctx)
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
