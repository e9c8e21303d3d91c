package prepare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/images/linux"
	"kernellab/internal/usage"
)

// columns are the words of a table's rows.
func columns(text string) [][]string {
	var rows [][]string
	for line := range strings.Lines(text) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

func TestWriteList(t *testing.T) {
	var b strings.Builder
	err := WriteList(&b, []ListedKernel{
		{Kernel: linux.Kernel{Arch: "x86_64", Version: "6.1.1", Flavour: "cloud", Release: "6.1.0-1", Suite: "bookworm", DownloadSize: 31e6, DebugSize: 800e6}},
		{Kernel: linux.Kernel{Arch: "x86_64", Version: "7.0", Flavour: "-", Release: "7.0", Local: true}, Cached: true, Debug: true},
		{Kernel: linux.Kernel{Arch: "riscv64", Version: "6.12", Flavour: "rt", Release: "6.12", Suite: "sid", Gone: true, DebugSize: 1}, Cached: true},
	})
	want := [][]string{
		{"ARCH", "VERSION", "FLAVOUR", "RELEASE", "FROM", "DOWNLOAD", "CACHED", "DEBUG"},
		{"x86_64", "6.1.1", "cloud", "6.1.0-1", "bookworm", "31", "MB", "no", "800", "MB"},
		{"x86_64", "7.0", "-", "7.0", "local", "file", "-", "yes", "yes"},
		{"riscv64", "6.12", "rt", "6.12", "sid", "(no", "longer)", "-", "yes", "-"},
	}
	if d := cmp.Diff(want, columns(b.String())); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}

// The list of QEMUs warns that a QEMU that is not lab's own sees the host's clock.
func TestWriteQEMUs(t *testing.T) {
	for kind, warns := range map[string]bool{"own": false, "host": true, "named": true} {
		var b strings.Builder
		list := []ListedQEMU{{Kind: "own", Arch: "all", Error: "not fetched"}, {Kind: "host", Arch: "x86_64", Version: "9.2"}, {Kind: "named", Arch: "x86_64"}}
		for i := range list {
			list[i].Used = list[i].Kind == kind
		}
		if err := WriteQEMUs(&b, list, "of a test"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "sees the host's wall clock"); got != warns || !strings.Contains(b.String(), "because of a test.") {
			t.Errorf("%s is used: %s", kind, b.String())
		}
	}
}

// Labs are found by name, each once, and all without names.
func TestLabs(t *testing.T) {
	all, err := Labs(nil)
	if err != nil || len(all) < 2 {
		t.Fatalf("%d labs, %v", len(all), err)
	}
	some, err := Labs([]string{all[1].Name, all[0].Name, all[1].Name})
	if err != nil || len(some) != 2 || some[0].Name != all[1].Name {
		t.Errorf("%d labs, %v", len(some), err)
	}
	for _, name := range []string{"fork-nwe", "./none", t.TempDir()} {
		if _, err := Lab(name); !usage.Is(err) {
			t.Errorf("lab %s: %v, want a mistake of usage", name, err)
		}
	}
}
