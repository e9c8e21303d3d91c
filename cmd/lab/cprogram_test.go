package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/verdict"
	"kernellab/images/compile"
	"kernellab/labs"
)

// answersOnly matches what a lab that asks for answers only says of submissions, to the
// end of its file.
var answersOnly = regexp.MustCompile(`(?ms)^submission: \{answers:.*`)

// TestCPrograms hands in each lab's program in C, with no answers. It compiles without
// warnings, and every check but the questions passes.
func TestCPrograms(t *testing.T) {
	all, err := labs.All()
	must(t, err)
	for _, m := range arch.All() {
		t.Run(m.Name, func(t *testing.T) {
			hostileKernel(t, m)
			gcc, _ := compile.CCompiler(m.GOARCH)
			for _, l := range all {
				source, err := filepath.Abs("../../labs/" + l.Name + "/c/prog.c")
				must(t, err)
				warnings := exec.Command(gcc, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-c", "-o", os.DevNull, source)
				if text, err := warnings.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", l.Name, err, text)
				}
				r := handIn(t, l, m.Name, readFile(t, source))
				asked := func(c verdict.Check) bool {
					return slices.ContainsFunc(l.Questions, func(q labs.Question) bool { return q.Name == c.Name })
				}
				passed := 0
				for _, c := range r.Checks {
					if asked(c) {
						continue
					}
					passed++
					if c.Verdict != verdict.Pass {
						t.Errorf("%s: %s: %s", l.Name, c.Name, c.Verdict)
					}
				}
				if passed == 0 || r.Error != "" {
					t.Errorf("%s: %d checks passed; %s", l.Name, passed, r.Error)
				}
			}
		})
	}
}

// handIn grades a C program. A lab that takes none is copied, and its copy takes
// one and asks nothing.
func handIn(t *testing.T, l labs.Lab, arch, source string) verdict.Result {
	t.Helper()
	name, dir := l.Name, t.TempDir()
	writeFiles(t, dir, map[string]string{"prog.c": source, "answers.yaml": ""})
	folder := "../../labs/" + l.Name
	if text := readFile(t, folder+"/lab.yaml"); answersOnly.MatchString(text) {
		name = filepath.Join(t.TempDir(), l.Name)
		must(t, os.CopyFS(name, os.DirFS(folder)))
		must(t, os.WriteFile(name+"/lab.yaml", answersOnly.ReplaceAll([]byte(text), []byte("submission: {program: required}\n")), 0o644))
	}
	var stdout, stderr bytes.Buffer
	run([]string{"run", name, "--arch", arch, "--submission", dir, "--format", "json"}, strings.NewReader(""), &stdout, &stderr)
	var doc verdict.Document
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil || len(doc.Results) != 1 {
		t.Fatalf("%s: %v, %d results\n%s", l.Name, err, len(doc.Results), stderr.String())
	}
	return doc.Results[0]
}
