package harness_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/goccy/go-yaml"

	"kernellab/harness/arch"
	"kernellab/harness/probe"
	"kernellab/harness/verdict"
	"kernellab/images/linux"
	"kernellab/labs"
)

func everyLab(t *testing.T) []labs.Lab {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wrong is what the findings about a wrong program have to say: see labs/README.md.
type wrong struct {
	words []string
	limit time.Duration // of the guest's time
}

func (w *wrong) UnmarshalYAML(data []byte) error {
	if err := yaml.Unmarshal(data, &w.words); err == nil {
		return nil
	}
	var long struct {
		Words []string `yaml:"words"`
		Limit string   `yaml:"limit"`
	}
	err := yaml.UnmarshalWithOptions(data, &long, yaml.Strict())
	if err == nil && long.Limit != "" {
		w.limit, err = time.ParseDuration(long.Limit)
	}
	w.words = long.Words
	return err
}

// wrongs reads the wrong programs of a lab.
func wrongs(t *testing.T, l labs.Lab) map[string]wrong {
	t.Helper()
	dir := filepath.Join("../labs", l.Name, "testdata/wrong")
	data, err := os.ReadFile(filepath.Join(dir, "findings.yaml"))
	if err != nil {
		t.Fatalf("every lab has programs that do it wrong: %v", err)
	}
	var all map[string]wrong
	if err := yaml.Unmarshal(data, &all); err != nil {
		t.Fatalf("%s/findings.yaml: %v", dir, err)
	}
	programs, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if _, ok := all[p.Name()]; p.IsDir() && !ok {
			t.Errorf("%s/findings.yaml says nothing of %s", dir, p.Name())
		}
	}
	return all
}

// over is a program's files over those of the lab's own, of which it keeps what
// it does not replace.
func over(t *testing.T, l labs.Lab, dir string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, from := range []fs.FS{l.Program(), os.DirFS(dir)} {
		for _, pattern := range []string{"*.go", "*.s"} {
			names, err := fs.Glob(from, pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				data, err := fs.ReadFile(from, name)
				if err != nil {
					t.Fatal(err)
				}
				files[name] = &fstest.MapFile{Data: data}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "main.go")); errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s has no main.go", dir)
	}
	return files
}

// A program that does it wrong is the student's mistake: graded, failed, and
// told what was expected and seen. What the student reads of it, with answers that
// are wrong as well, answers no question.
func TestWrongPrograms(t *testing.T) {
	eachArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		for _, l := range everyLab(t) {
			all := wrongs(t, l)
			own := run(t, jobOf(t, a, k, l, nil)).Trace
			for _, leak := range givesAway(l, l.Rules(a.Name), own, own) {
				t.Errorf("its own program, %s", leak)
			}
			for i, name := range slices.Sorted(maps.Keys(all)) {
				if alternate(l) && arch.Names()[i%2] != a.Name {
					continue
				}
				t.Run(l.Name+"/"+name, func(t *testing.T) {
					dir := filepath.Join("../labs", l.Name, "testdata/wrong", name)
					j := jobOf(t, a, k, l, over(t, l, dir))
					j.Limit = all[name].limit
					out := run(t, j)
					if out.Result.Verdict != verdict.Fail {
						t.Errorf("verdict %s %s, want fail", out.Result.Verdict, out.Result.Error)
					}
					for _, leak := range givesAway(l, l.Rules(a.Name), own, out.Trace) {
						t.Error(leak)
					}
					var told strings.Builder
					for _, f := range out.Result.Findings {
						told.WriteString(f.Message + "\n")
					}
					t.Log(told.String())
					for _, w := range all[name].words {
						if !strings.Contains(told.String(), w) {
							t.Errorf("no finding says %q", w)
						}
					}
				})
			}
		}
	})
}

// alternate reports whether a lab's wrong programs take turns on the two architectures. A
// mistake is the same on both, but for the labs about the calls that make a task, of which
// riscv64 has fewer. Each lab has a wrong program on each.
func alternate(l labs.Lab) bool { return !slices.Contains([]string{"fork-new", "fork-family"}, l.Name) }

// Every point and read of every lab fits every kernel's symbols and types, which
// is told before a guest starts.
func TestCourseFitsKernels(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		image := openKernel(t, k)
		for _, l := range everyLab(t) {
			for _, err := range probe.Check(image, a, l.Plan(a.Name)) {
				t.Errorf("%s: %v", l.Name, err)
			}
		}
	})
}
