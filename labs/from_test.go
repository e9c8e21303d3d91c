package labs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kernellab/internal/usage"
	"kernellab/labs"
)

// Every lab of the course can be begun from: the new one loads, and has the same points,
// checks, questions, programs and wrong programs.
func TestCreateFrom(t *testing.T) {
	for _, l := range all(t) {
		dir, paths, err := labs.Create(t.TempDir(), "my-lab", &l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := labs.Open(dir)
		if err != nil {
			t.Errorf("%s: %v", l.Name, err)
			continue
		}
		if got.Name != "my-lab" || len(got.Questions) != len(l.Questions) || len(got.Checks) != len(l.Checks) || !slices.Equal(got.PointNames("riscv64"), l.PointNames("riscv64")) {
			t.Errorf("%s: the new lab is another: %s, %d questions, %d checks", l.Name, got.Name, len(got.Questions), len(got.Checks))
		}
		wrong, err := fs.ReadDir(l.Program(), labs.WrongFolder)
		if err != nil {
			t.Fatal(err)
		}
		copies, err := fs.ReadDir(got.Program(), labs.WrongFolder)
		if err != nil || len(copies) != len(wrong) {
			t.Errorf("%s: %d of %d wrong programs and expectations: %v", l.Name, len(copies), len(wrong), err)
		}
		if !slices.Contains(paths, filepath.Join(dir, "lab.schema.json")) {
			t.Errorf("%s: an editor finds no schema", l.Name)
		}
		// No command is left that names the old lab.
		if bad := regexp.MustCompile(`\blab [a-z]+ ` + l.Name + `\b.*`).FindString(got.Handout); bad != "" {
			t.Errorf("%s: the handout says %q", l.Name, bad)
		}
		if !strings.Contains(got.Handout, "lab run ./my-lab") {
			t.Errorf("%s: the handout does not say how to run the new lab", l.Name)
		}
	}
}

// A name that lab.yaml compares with names of programs is changed there too, and is no
// longer than the kernel keeps.
func TestCreateFromName(t *testing.T) {
	l, err := labs.Get("exec-life")
	if err != nil {
		t.Fatal(err)
	}
	dir, _, err := labs.Create(t.TempDir(), "my-exec", &l)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "lab.yaml"))
	if err != nil || strings.Contains(string(text), "exec-life") || !strings.Contains(string(text), `== "my-exec"`) {
		t.Errorf("lab.yaml still says exec-life, or not my-exec: %v", err)
	}
	if _, _, err := labs.Create(t.TempDir(), "my-very-long-exec", &l); !usage.Is(err) || !strings.Contains(err.Error(), "15 letters") {
		t.Errorf("a name that the kernel cuts: %v", err)
	}
	if _, _, err := labs.Create(t.TempDir(), "My_Lab", &l); !usage.Is(err) {
		t.Errorf("a name that is none: %v", err)
	}
}
