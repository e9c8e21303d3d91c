package harness_test

import (
	"cmp"
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

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/probe"
	"kernellab/harness/snapshot"
	"kernellab/images"
	"kernellab/images/qemutest"
	"kernellab/labs"
)

// course makes the jobs of all labs on one kernel, which boots once.
type course struct {
	arch   arch.Arch
	kernel images.Kernel
	store  *snapshot.Store
	initrd string
}

func newCourse(t *testing.T, a arch.Arch, k images.Kernel) *course {
	t.Helper()
	cache := &images.Cache{}
	initrd, err := cache.Initramfs(t.Context(), a.GOARCH, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &course{a, k, &snapshot.Store{Dir: t.TempDir()}, initrd}
}

// plenty is the limit of a program that is to end by itself: these tests share the
// processors with all the others, which no limit knows of.
const plenty = time.Minute

// run runs a lab with a program, which is brought to the booted guest. A limit of 0
// is plenty.
func (c *course) run(t *testing.T, l labs.Lab, program fs.FS, limit time.Duration) *harness.Outcome {
	t.Helper()
	cache := &images.Cache{}
	binary, err := cache.BuildProgram(t.Context(), c.arch.GOARCH, l.Name, program, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := harness.Run(t.Context(), harness.Job{
		Lab: l.Name, Arch: c.arch, Image: openKernel(t, c.kernel), Kernel: c.kernel.Path, Initrd: c.initrd,
		Program: binary, ProgramName: l.Name, Plan: l.Plan(c.arch.Name), Rules: l.Rules(c.arch.Name), Out: outDir(t),
		QEMU:  qemutest.Command(t, c.arch.Name, c.arch.QEMU.Binary),
		Bring: true, Snapshots: c.store, Timeout: cmp.Or(limit, plenty),
	})
	if err != nil {
		t.Fatalf("run: %v\n%s", err, strings.Join(harness.Console(err), "\n"))
	}
	return out
}

func everyLab(t *testing.T) []labs.Lab {
	t.Helper()
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Every lab passes on every kernel, one boot a kernel.
func TestCoursePasses(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		c := newCourse(t, a, k)
		for _, l := range everyLab(t) {
			t.Run(l.Name, func(t *testing.T) {
				out := c.run(t, l, l.Program(), 0)
				if out.Result.Verdict != grade.Pass {
					t.Errorf("verdict %s %s, findings %+v", out.Result.Verdict, out.Result.Error, out.Result.Findings)
				}
			})
		}
	})
}

// wrong is what the findings about a wrong program have to say: see labs/README.md.
type wrong struct {
	words []string
	limit time.Duration
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
	eachArch(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		c := newCourse(t, a, k)
		for _, l := range everyLab(t) {
			all := wrongs(t, l)
			own := c.run(t, l, l.Program(), 0).Trace
			for _, leak := range givesAway(l, l.Rules(a.Name), own, own) {
				t.Errorf("its own program, %s", leak)
			}
			for _, name := range slices.Sorted(maps.Keys(all)) {
				t.Run(l.Name+"/"+name, func(t *testing.T) {
					dir := filepath.Join("../labs", l.Name, "testdata/wrong", name)
					out := c.run(t, l, over(t, l, dir), all[name].limit)
					if out.Result.Verdict != grade.Fail {
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

// Every point and read of every lab fits every kernel's symbols and types, which
// is told before a guest starts.
func TestCourseFitsKernels(t *testing.T) {
	eachKernel(t, func(t *testing.T, a arch.Arch, k images.Kernel) {
		image := openKernel(t, k)
		for _, l := range everyLab(t) {
			for _, err := range probe.Check(image, a, l.Plan(a.Name)) {
				t.Errorf("%s: %v", l.Name, err)
			}
		}
	})
}
