package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// layers is the order in which packages may import each other: down only. It is
// the layout of CONTRIBUTING.md.
var layers = []string{
	"cmd/lab",
	"labs",
	"harness",
	"harness/submission",
	"harness/report",
	"harness/regress",
	"harness/verify",
	"harness/seeds",
	"harness/grade",
	"harness/probe",
	"harness/machine",
	"harness/task",
	"harness/kernel",
	"harness/trace",
	"harness/rsp",
	"harness/snapshot",
	"harness/qemu",
	"harness/arch",
	"images",
	"gdbscripts",
	"nearest",
	"flock",
	"yamlnode",
	"labtest",
}

// owners are the packages that alone may import a library.
var owners = map[string]string{
	"github.com/u-root/":            "images",
	"github.com/go-delve/":          "harness/kernel",
	"github.com/cilium/ebpf":        "harness/kernel",
	"github.com/charmbracelet/":     "harness/report",
	"github.com/expr-lang/expr/vm":  "harness/grade",
	"github.com/goccy/go-yaml/ast":  "labs",
	"github.com/jstemmer/go-junit-": "harness/report",
}

// layer returns the place of a package: that of the longest name it is under.
func layer(pkg string) int {
	best := -1
	for i, l := range layers {
		if (pkg == l || strings.HasPrefix(pkg, l+"/")) && (best < 0 || len(l) > len(layers[best])) {
			best = i
		}
	}
	return best
}

func TestImportsPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "kernellab/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < len(layers)-1 {
		t.Fatalf("go list found %d packages, want at least %d", len(lines), len(layers)-1)
	}
	for _, line := range lines {
		words := strings.Fields(line)
		pkg := strings.TrimPrefix(words[0], "kernellab/")
		at := layer(pkg)
		if at < 0 {
			// A lab's program imports the standard library alone.
			if !strings.HasPrefix(pkg, "labs/") {
				t.Errorf("package %s has no place in the layout", pkg)
			}
			continue
		}
		for _, imp := range words[1:] {
			checkImport(t, pkg, at, imp)
		}
	}
}

func checkImport(t *testing.T, pkg string, at int, imp string) {
	if own, ok := strings.CutPrefix(imp, "kernellab/"); ok {
		if to := layer(own); to < at {
			t.Errorf("%s imports %s, which is above it", pkg, own)
		}
		return
	}
	for prefix, owner := range owners {
		allowed := []string{owner}
		if owner == "harness/report" {
			allowed = append(allowed, "cmd/lab") // which decides on colour
		}
		if owner == "harness/grade" {
			allowed = append(allowed, "harness/probe") // conditions are expressions too
		}
		if owner == "labs" {
			allowed = append(allowed, "harness/submission", "yamlnode") // the other reader of YAML, and what both share
		}
		if strings.HasPrefix(imp, prefix) && !slices.Contains(allowed, layers[at]) {
			t.Errorf("%s imports %s: only %s does", pkg, imp, owner)
		}
	}
}
