package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"kernellab/harness/arch"
	"kernellab/harness/verdict"
)

// differs are the programs that are run on every architecture: the calls that they
// make, or what the kernel does with them, differ. The others run on the first.
var differs = []string{
	"alarms", "go-exec", "refused", "thread-between", "vfork-between", // honest
	"clone3", "other-reaps", "status-5", // not what is asked for
}

// programsOf returns the sources of a folder of a lab's testdata, by name.
func programsOf(t *testing.T, lab, folder string) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../../labs", lab, "testdata", folder, "*", "prog.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no programs in %s: %v", folder, err)
	}
	out := map[string]map[string]string{}
	for _, f := range files {
		out[filepath.Base(filepath.Dir(f))] = map[string]string{filepath.Base(f): readFile(t, f)}
	}
	return out
}

// TestHonest grades a class of programs that do what fork-new asks for, each in its
// own way and beside other things, and of programs that do not. The first get full
// marks. The others lose marks, and their findings name the call and the task that made
// it. What is wrong with one submission is no other one's trouble.
func TestHonest(t *testing.T) {
	for i, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			image := hostileKernel(t, m)
			answers := honestAnswers(t, image)
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
			hand := func(student, answers string, files map[string]string) {
				all := maps.Clone(files)
				all["answers.yaml"] = answers
				writeFiles(t, filepath.Join(dir, student), all)
			}
			honest, unasked := programsOf(t, "fork-new", "honest"), programsOf(t, "fork-new", "unasked")
			others := func(name string, _ map[string]string) bool { return i > 0 && !slices.Contains(differs, name) }
			maps.DeleteFunc(honest, others)
			maps.DeleteFunc(unasked, others)
			for name, files := range honest {
				hand("honest "+name, answers, files)
			}
			for name, files := range unasked {
				hand("unasked "+name, answers, files)
			}
			want := exitFail
			if i == 0 {
				hand("unknown key", answers+"who-fees: nobody\n", honest["flush"])
				hand("key twice", answers+"who-frees: init's\n", honest["flush"])
				hand("anchor", strings.Replace(answers, "who-frees: ", "who-frees: &a ", 1), honest["flush"])
				unclear(t, dir)
				want = exitError
			}
			var stderr bytes.Buffer
			args := []string{"grade", "fork-new", "--submissions", dir, "--out", out, "--arch", m.Name, "--jobs", "2"}
			if code := run(args, strings.NewReader(""), io.Discard, &stderr); code != want {
				t.Errorf("lab grade ended with %d, want %d\n%s", code, want, stderr.String())
			}
			for name := range honest {
				if r := resultOf(t, out, "honest "+name); !r.Passed() || r.Score != r.MaxScore {
					t.Errorf("%s does what the lab asks for: %s: %s %v", name, mark(r), r.Error, said(r))
				}
			}
			wrongPrograms(t, out, unasked)
			if i == 0 {
				oneMistake(t, out, stderr.String())
			}
		})
	}
}

// TestHonestElsewhere grades programs of other labs that do what the lab asks for beside
// other things: they make other tasks, wait for them, and ask several times. They get all
// that a program can get; none of them comes with answers. exec-life runs on every
// architecture, the others on the first.
func TestHonestElsewhere(t *testing.T) {
	for i, m := range arch.All() {
		for _, lab := range []string{"exec-life", "exit-paths", "wait-zombie"} {
			if i > 0 && lab != "exec-life" {
				continue
			}
			t.Run(m.Name+"/"+lab, func(t *testing.T) {
				hostileKernel(t, m)
				dir, out := t.TempDir(), filepath.Join(t.TempDir(), "graded")
				programs := programsOf(t, lab, "honest")
				for name, files := range programs {
					all := maps.Clone(files)
					all["answers.yaml"] = ""
					writeFiles(t, filepath.Join(dir, name), all)
				}
				var stderr bytes.Buffer
				args := []string{"grade", lab, "--submissions", dir, "--out", out, "--arch", m.Name, "--jobs", "2"}
				if code := run(args, strings.NewReader(""), io.Discard, &stderr); code != exitFail {
					t.Errorf("lab grade ended with %d, want %d\n%s", code, exitFail, stderr.String())
				}
				for name := range programs {
					r := resultOf(t, out, name)
					checks := 0
					for _, c := range r.Checks {
						if c.Kind == verdict.KindQuestion {
							continue
						}
						if checks++; c.Verdict != verdict.Pass {
							t.Errorf("%s does what the lab asks for: %s: expected %s, seen %s", name, c.Name, c.Expected, c.Observed)
						}
					}
					if checks == 0 || r.Score == 0 {
						t.Errorf("%s: %s, %d checks: %s", name, mark(r), checks, r.Error)
					}
				}
			})
		}
	}
}

// unclear hands in what is no fault of the class: two submissions of one student, a
// pipe, and a hidden folder.
func unclear(t *testing.T, dir string) {
	t.Helper()
	writeFiles(t, filepath.Join(dir, "alice"), map[string]string{"answers.yaml": ""})
	writeFiles(t, filepath.Join(dir, ".bob"), map[string]string{"answers.yaml": ""})
	f, err := os.Create(filepath.Join(dir, "alice.tar"))
	must(t, err)
	must(t, tar.NewWriter(f).Close())
	must(t, f.Close())
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe.zip"), 0o600))
}

// said are the findings of a result.
func said(r verdict.Result) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.Message)
	}
	return all
}

// wrongPrograms checks the findings about programs that do not do what is asked for.
func wrongPrograms(t *testing.T, out string, programs map[string]map[string]string) {
	t.Helper()
	var words map[string][]string
	if err := yaml.Unmarshal([]byte(readFile(t, "../../labs/fork-new/testdata/unasked/findings.yaml")), &words); err != nil {
		t.Fatal(err)
	}
	for name := range programs {
		r := resultOf(t, out, "unasked "+name)
		if r.Verdict != verdict.Fail || len(words[name]) == 0 {
			t.Errorf("%s: %s, want fail and words of its findings: %s", name, mark(r), r.Error)
		}
		for _, w := range words[name] {
			if all := strings.Join(said(r), "; "); !strings.Contains(all, w) {
				t.Errorf("%s: no finding says %q: %s", name, w, all)
			}
		}
		cost, one := map[string]int{"complete-early": 8, "killed": 6, "segfault": 6, "status-5": 6}[name]
		if one && r.Score != r.MaxScore-cost {
			t.Errorf("%s: %s, want %d points less than all", name, mark(r), cost)
		}
	}
}

// oneMistake checks that a mistake in the answers costs one answer, and what is unclear
// of one submission only its own mark.
func oneMistake(t *testing.T, out, stderr string) {
	t.Helper()
	if r := resultOf(t, out, "unknown key"); !r.Passed() || !strings.Contains(strings.Join(r.Notes, "\n"), `no question "who-fees": did you mean who-frees?`) {
		t.Errorf("an unknown key: %s, notes %q", mark(r), r.Notes)
	}
	for student, want := range map[string]string{"key twice": "who-frees: it is there 2 times", "anchor": "who-frees: \"&\" is an anchor"} {
		if r := resultOf(t, out, student); r.Score != r.MaxScore-6 || !strings.Contains(strings.Join(said(r), "; "), want) {
			t.Errorf("%s: %s, want 6 points less than all: %q", student, mark(r), said(r))
		}
	}
	for student, want := range map[string]string{"alice": "alice and alice.tar both belong to alice", "pipe": "pipe.zip is neither a folder nor a regular file"} {
		if r := resultOf(t, out, student); r.Verdict != verdict.Error || !strings.Contains(fmt.Sprint(r.Error, r.Causes), want) {
			t.Errorf("%s: %s, %q %v", student, mark(r), r.Error, r.Causes)
		}
	}
	if want := "left out: .bob is hidden"; !strings.Contains(stderr, want) {
		t.Errorf("nothing says %q:\n%s", want, stderr)
	}
}
