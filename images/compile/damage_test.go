package compile

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/images/imagestest"
)

// A damaged archive of the standard library, or list of what one needs, or program is
// made anew: sources never are at fault for it.
func TestDamagedStandard(t *testing.T) {
	c := compiler(t)
	var warned []string
	c.cache.Warn = func(text string) { warned = append(warned, text) }
	build := func(text string) string {
		t.Helper()
		path, err := c.Build(t.Context(), "amd64", "fork-new", one("prog.go", text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path).Output(); !strings.HasPrefix(string(out), "honest") {
			t.Errorf("%q, %v", out, err)
		}
		return path
	}
	program := build(honestGo)
	std, err := findStandard(c.cache, c.tool, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	text := honestGo
	for name, damage := range imagestest.Damages() {
		for _, path := range []string{std.archive("runtime"), std.archive("internal/abi"), filepath.Join(std.dir, "fmt.deps"), program} {
			warned = nil
			damage(t, path)
			if path != program {
				text += "\n" // to be compiled
				build(text)
			} else {
				build(honestGo)
			}
			if !strings.Contains(strings.Join(warned, "\n"), path) {
				t.Errorf("%s: warned %q, want %s named", name, warned, path)
			}
		}
	}
}
