package doctor

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/prepare"
	"kernellab/images"
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
	commands := Install([]string{"gcc", "gdb"})
	if last := commands[len(commands)-1]; len(commands) != 2 || !slices.Equal(last[len(last)-2:], []string{"gcc", "gdb"}) || !slices.Contains(last, "--yes") {
		t.Errorf("commands %q", commands)
	}
}

// What is missing is shown with the command that installs it.
func TestWrite(t *testing.T) {
	var b strings.Builder
	err := Write(&b, []Finding{{Name: "Go", State: Missing, Detail: "not installed", Needed: "building", Mend: "apt-get install golang-go"}, {Name: "host", State: OK, Detail: "linux"}})
	for _, want := range []string{"Go", "MISSING", "needed for building: apt-get install golang-go", "linux"} {
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
	h.QEMU = &prepare.Choice{Value: "/none/qemu", Given: true}
	if got := state("QEMU"); got != Missing {
		t.Errorf("a --qemu that does not exist is %s", got)
	}
}
