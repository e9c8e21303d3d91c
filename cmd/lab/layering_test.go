package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// layer is a package and those of ours that it may import.
type layer struct {
	name    string
	imports []string
}

// row is a row of the layout in CONTRIBUTING.md.
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .* \\| ?([^|]*) \\|$")

// layout reads the layout, from the top down.
func layout(t *testing.T) []layer {
	t.Helper()
	page, err := os.ReadFile("../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ = bytes.Cut(page, []byte("## The layout\n"))
	page, _, _ = bytes.Cut(page, []byte("\n## "))
	var all []layer
	for _, m := range row.FindAllSubmatch(page, -1) {
		all = append(all, layer{string(m[1]), strings.Fields(string(m[2]))})
	}
	return all
}

// owners are the packages that alone may import a library.
var owners = map[string][]string{
	"github.com/u-root/":            {"images/initramfs"},
	"github.com/go-delve/":          {"harness/kernel", "harness/kernel/debuginfo"},
	"github.com/cilium/ebpf":        {"harness/kernel", "harness/kernel/kerneltest"},
	"github.com/charmbracelet/":     {"harness/report"},
	"github.com/expr-lang/expr":     {"harness/expr"},
	"github.com/goccy/go-yaml/ast":  {"labs", "harness/submission", "internal/yamlnode"},
	"github.com/jstemmer/go-junit-": {"harness/report"},
	"golang.org/x/arch/":            {"harness/blocks", "harness/stores"},
}

// maxLines bounds the command line, which is flags and printing only: what a command does
// belongs in a package, whose tests start no process.
const maxLines = 2000

func TestSize(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(source, []byte("\n"))
	}
	if lines == 0 || lines > maxLines {
		t.Errorf("cmd/lab has %d lines without tests, and may have 1 to %d: move what is no flag and prints nothing into a package", lines, maxLines)
	}
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "kernellab/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], "kernellab/")
		if !strings.HasPrefix(name, "labs/") { // a lab's program
			imports[name] = words[1:]
		}
	}
	all := layout(t)
	for i, l := range all {
		found, ok := imports[l.name]
		if !ok {
			t.Errorf("CONTRIBUTING.md has a package %s, and the tree has none", l.name)
			continue
		}
		delete(imports, l.name)
		var own []string
		for _, imp := range found {
			if name, ok := strings.CutPrefix(imp, "kernellab/"); ok {
				own = append(own, name)
				continue
			}
			for library, owners := range owners {
				if strings.HasPrefix(imp, library) && !slices.Contains(owners, l.name) {
					t.Errorf("%s imports %s: only %s does", l.name, imp, strings.Join(owners, " and "))
				}
			}
		}
		slices.Sort(own)
		if d := cmp.Diff(l.imports, own, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("the imports of %s differ from those in CONTRIBUTING.md (-there +here)\n%s", l.name, d)
		}
		for _, name := range l.imports {
			if at := slices.IndexFunc(all, func(l layer) bool { return l.name == name }); at <= i {
				t.Errorf("%s imports %s, which is not below it", l.name, name)
			}
		}
	}
	for name := range imports {
		t.Errorf("CONTRIBUTING.md has no package %s: say what belongs there", name)
	}
}
