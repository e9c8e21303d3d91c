// Package debiantest makes repositories of Debian packages for tests.
package debiantest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kernellab/images/imagestest"
)

// Repository is a Debian-like archive in a folder, with one suite.
type Repository struct {
	Dir      string
	Packages strings.Builder // the index
}

// New returns an empty repository. The test is skipped on a host without apt.
func New(t testing.TB) *Repository {
	t.Helper()
	for _, tool := range []string{"apt-get", "dpkg-deb", "/usr/lib/apt/apt-helper"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v; the test reads a repository with apt", err)
		}
	}
	return &Repository{Dir: t.TempDir()}
}

// Add makes a package of files, and enters it in the index as change leaves it.
func (r *Repository) Add(t testing.TB, name, version, depends string, files map[string]string, change func(stanza string) string) (deb string) {
	t.Helper()
	root := t.TempDir()
	os.Chmod(root, 0o755)
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n", name, version)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	imagestest.Write(t, filepath.Join(root, "DEBIAN/control"), control)
	for path, text := range files {
		imagestest.Write(t, filepath.Join(root, path), text)
	}
	return r.build(t, root, name, version, control, change)
}

// AddLink makes a package of one symbolic link.
func (r *Repository) AddLink(t testing.TB, name, target, link string) {
	t.Helper()
	root := t.TempDir()
	os.Chmod(root, 0o755)
	control := fmt.Sprintf("Package: %s\nVersion: 1.0\nArchitecture: amd64\nMaintainer: nobody\nDescription: x\n", name)
	imagestest.Write(t, filepath.Join(root, "DEBIAN/control"), control)
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, link)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
		t.Fatal(err)
	}
	r.build(t, root, name, "1.0", control, nil)
}

// build packs a folder into a package.
func (r *Repository) build(t testing.TB, root, name, version, control string, change func(stanza string) string) (deb string) {
	t.Helper()
	file := "pool/" + name + "_" + version + ".deb"
	deb = filepath.Join(r.Dir, file)
	os.MkdirAll(filepath.Dir(deb), 0o755)
	// The least compression that is xz, as Debian's is.
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "-z0", "-b", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v: %s", err, out)
	}
	b, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	stanza := control + fmt.Sprintf("Filename: %s\nSize: %d\nSHA256: %x\n", file, len(b), sha256.Sum256(b))
	if change != nil {
		stanza = change(stanza)
	}
	r.Packages.WriteString(stanza + "\n")
	return deb
}

// Serve writes the index, and has apt read the repository while the test runs.
func (r *Repository) Serve(t testing.TB) {
	t.Helper()
	index := "main/binary-amd64/Packages"
	imagestest.Write(t, filepath.Join(r.Dir, "dists/trixie", index), r.Packages.String())
	imagestest.Write(t, filepath.Join(r.Dir, "dists/trixie/Release"), fmt.Sprintf(
		"Origin: test\nSuite: trixie\nCodename: trixie\nArchitectures: amd64\nComponents: main\nDate: %s\nSHA256:\n %x %d %s\n",
		time.Now().UTC().Format(time.RFC1123), sha256.Sum256([]byte(r.Packages.String())), r.Packages.Len(), index))
	t.Setenv("LAB_DEBIAN_MIRROR", "file://"+r.Dir)
}
