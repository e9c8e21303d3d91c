package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/prepare"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/images/linux"
	"kernellab/internal/usage"
)

// Packages are those of what is missing, each once.
func TestPackages(t *testing.T) {
	found := []Finding{
		{Name: "Go", State: Missing, Packages: "golang-go"},
		{Name: "bubblewrap", State: Optional, Packages: "bubblewrap"},
		{Name: "sandbox", State: Optional, Packages: "bubblewrap"},
		{Name: "gdb", State: OK, Packages: "gdb-multiarch"},
		{Name: "C", State: Optional, Packages: "gcc libc6-dev"},
	}
	if d := cmp.Diff([]string{"bubblewrap", "gcc", "golang-go", "libc6-dev"}, Packages(found)); d != "" {
		t.Errorf("packages (-want +got)\n%s", d)
	}
	all := commands([]string{"sudo"}, []string{"gcc", "gdb"})
	if last := all[len(all)-1]; len(all) != 2 || last[0] != "sudo" || !slices.Equal(last[len(last)-2:], []string{"gcc", "gdb"}) || !slices.Contains(last, "--yes") {
		t.Errorf("commands %q", all)
	}
}

// quiet shows no progress.
type quiet struct{}

func (quiet) Report(string, int64, int64) {}
func (quiet) Say(string, ...any)          {}
func (quiet) Done()                       {}

// Kernels are named to be booted.
func TestVisit(t *testing.T) {
	named := Visit{Kernels: prepare.Kernels{Names: []string{"6.1"}}}
	if err := named.Check(); !usage.Is(err) {
		t.Errorf("kernels without boots: %v, want a mistake of usage", err)
	}
	named.Boots = 1
	if err := named.Check(); err != nil {
		t.Errorf("kernels with boots: %v", err)
	}
}

// root and a user with sudo run the commands; a user without it gets those that root has
// to run, and runs none.
func TestInstall(t *testing.T) {
	const user = 1000
	install := func(uid int) (first []string, err error) {
		err = install(t.Context(), prepare.Host{Progress: quiet{}}, []string{"gcc", "gdb"}, uid, func(_ context.Context, args []string) error {
			first = append(first, args[0])
			return nil
		})
		return first, err
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if first, err := install(0); err != nil || !slices.Equal(first, []string{"env", "env"}) {
		t.Errorf("as root: %q, %v", first, err)
	}
	const want = `you are not root and sudo is not installed; have root run:
  env DEBIAN_FRONTEND=noninteractive apt-get update
  env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends gcc gdb
and then run lab doctor --install again`
	if first, err := install(user); first != nil || err == nil || err.Error() != want {
		t.Errorf("without sudo: %q, %v", first, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if first, err := install(user); err != nil || !slices.Equal(first, []string{"sudo", "sudo"}) {
		t.Errorf("with sudo: %q, %v", first, err)
	}
}

// What is missing is shown with the command that installs it.
func TestWrite(t *testing.T) {
	var b strings.Builder
	err := Write(&b, []Finding{{Name: "Go", State: Missing, Detail: "not installed", Needed: "building", Mend: "apt-get install golang-go"}, {Name: "gdb", Needed: "debugging", Mend: "apt-get install gdb", AsRoot: true}, {Name: "host", State: OK, Detail: "linux"}})
	for _, want := range []string{"Go", "MISSING", "needed for building: apt-get install golang-go", "needed for debugging: as root, apt-get install gdb", "linux"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %v:\n%s", want, err, b.String())
		}
	}
}

// An empty cache and a PATH without programs lack what every run needs, and a QEMU
// that does not exist is a finding, not an error.
func TestExamineBareHost(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(prepare.QEMUEnv, "")
	h := prepare.Host{Cache: &images.Cache{Dir: t.TempDir()}}
	state := func(name string) string {
		t.Helper()
		found := Examine(t.Context(), h)
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Name == name })
		if i < 0 {
			t.Fatalf("no finding %q", name)
		}
		return found[i].State
	}
	for name, want := range map[string]string{"QEMU": Missing, "Go": Missing, "gdb-multiarch": Optional, "cache": OK, "host": OK} {
		if got := state(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	h.QEMU = &prepare.Choice{Value: "/none/qemu"}
	if got := state("QEMU"); got != Missing {
		t.Errorf("a --qemu that does not exist is %s", got)
	}
}

// Boots are told apart by the image: a damaged copy of a kernel of the cache says nothing
// about that kernel, and is not called ok.
func TestBootFindings(t *testing.T) {
	cache := &images.Cache{Dir: t.TempDir()}
	image := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(image, []byte("an image"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := linux.In(cache).Add(t.Context(), image, "", linux.Identity{Arch: "x86_64", Release: "6.1.0-1-cloud-amd64"})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := cache.Path("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	store := &snapshot.Store{Dir: dir}
	for _, b := range []snapshot.Boots{
		{SHA256: k.SHA256, Tries: 50, Oopses: 1}, {SHA256: strings.Repeat("ab", 32), Tries: 100, Oopses: 92},
	} {
		b.Arch, b.Kernel, b.QEMU = k.Arch, k.Release, "10.0.13"
		if err := store.CountBoot(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	const name, needed = "boots of 6.1.0-1-cloud-amd64", "choosing reliable kernels"
	want := []Finding{
		{Name: name, State: OK, Needed: needed, Detail: "49 of 50 succeeded on QEMU 10.0.13 (x86_64); 2% ended with an oops, a panic or a reset"},
		{Name: name, State: Warning, Needed: needed, Detail: "8 of 100 succeeded on QEMU 10.0.13 (x86_64); another image than the cache's of that release (SHA-256 abababababab…); 92% ended with an oops, a panic or a reset: run labs on another kernel (lab kernels list)"},
	}
	if d := cmp.Diff(want, bootFindings(cache)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
