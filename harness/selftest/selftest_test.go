package selftest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/internal/schematest"
	"kernellab/labs"
)

func forkNew(t *testing.T) labs.Lab {
	t.Helper()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The labs of the course pass what needs no guest.
func TestStatic(t *testing.T) {
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		for _, line := range Static(l) {
			for _, p := range line.Problems {
				t.Errorf("%s: %s: %s", l.Name, line.Test, p)
			}
		}
	}
}

func TestHandout(t *testing.T) {
	for text, want := range map[string]string{
		"**`copy_tread`** makes the stack":                  "README.md says **`copy_tread`**, and copy_tread is no stop of the lab: did you mean \"copy_thread\"?",
		"**`copy_thread`**, `copy_mm` and `sys_clnoe`":      "",
		"    lab run fork-new --at sys_clon -v":             "README.md says lab run fork-new --at sys_clon, and sys_clon is no stop of the lab",
		"    lab run ./my-lab --step=release_task":          "",
		"    lab stack 1 --lab wake-up --at woken":          "",
		"    lab stack 1 --lab wake-up --at release_task ":  "",
		"See [the stack](#the-kernel-stack).":               "a link to #the-kernel-stack, and no such heading",
		"## The kernel *stack*\n[here](#the-kernel-stack)":  "",
		"## Glossary\n**`current`** is the task that runs.": "",
	} {
		l := forkNew(t)
		l.Handout = text
		got := strings.Join(handout(l), "\n")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAsked(t *testing.T) {
	l := forkNew(t)
	own := tracetest.Fork("x86_64")
	i := -1
	for j, q := range l.Questions {
		if q.Type == grade.TypeChoice {
			i = j
		}
	}
	if i < 0 {
		t.Fatal("fork-new has no choice")
	}
	q := l.Questions[i]
	right := truths(own, l.Rules("x86_64"))[q.Name]
	if right == "" {
		t.Fatalf("no right answer to %s", q.Name)
	}
	say := func(leave ...string) []string {
		q.Wrong = nil
	choices:
		for _, c := range q.Choices {
			for _, l := range leave {
				if c.Name == l {
					continue choices
				}
			}
			q.Wrong = append(q.Wrong, grade.Misconception{Answer: c.Name, Says: "x"})
		}
		one := l
		one.Questions = slices.Clone(l.Questions)
		one.Questions[i] = q
		return append(asked(one), unexplained(one.Rules("x86_64"), own)...)
	}
	if p := say(right); len(p) > 0 {
		t.Errorf("all but the right one have a sentence: %q", p)
	}
	other := q.Choices[0].Name
	if other == right {
		other = q.Choices[1].Name
	}
	if p := say(other); len(p) != 1 || !strings.Contains(p[0], other+" is wrong here") {
		t.Errorf("%s has no sentence: %q", other, p)
	}
	if p := say(right, other); !strings.Contains(strings.Join(p, "\n"), "nothing to say of") {
		t.Errorf("two have no sentence: %q", p)
	}
}

// made is a lab of a folder, with files in the place of its own. An empty text removes
// the file.
func made(t *testing.T, files map[string]string) labs.Lab {
	t.Helper()
	dir, _, err := labs.Create(t.TempDir(), "my-lab", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if text == "" {
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := labs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestWrong(t *testing.T) {
	const findings = WrongFolder + "/" + findingsFile
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"the template":        {nil, ""},
		"none":                {map[string]string{WrongFolder: ""}, "there is no testdata/wrong"},
		"an empty file":       {map[string]string{findings: "{}\n"}, "there is no testdata/wrong"},
		"no program":          {map[string]string{findings: "no-fork: [x]\nhang: [y]\n"}, "testdata/wrong/hang has no main.go"},
		"no expectation":      {map[string]string{WrongFolder + "/hang/main.go": "package main\n"}, "says nothing of hang"},
		"no words":            {map[string]string{findings: "no-fork: []\n"}, "no-fork: no words"},
		"an unknown key":      {map[string]string{findings: "no-fork: {word: [x]}\n"}, "unknown field \"word\""},
		"a time that is none": {map[string]string{findings: "no-fork: {words: [x], limit: soon}\n"}, "invalid duration"},
		"a folder elsewhere":  {map[string]string{findings: "no-fork: [x]\n../../..: [y]\n"}, "is no name of a folder"},
	} {
		_, err := Wrong(made(t, tt.files))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	// A wrong program keeps the lab's other files.
	all, err := Wrong(made(t, map[string]string{"more.go": "package main\n"}))
	if err != nil {
		t.Fatal(err)
	}
	files := all["no-fork"].files
	if names, err := fs.Glob(files, "*.go"); err != nil || !cmp.Equal(names, []string{"main.go", "more.go"}) {
		t.Errorf("files %q, %v", names, err)
	}
	if text, err := fs.ReadFile(files, "main.go"); err != nil || !strings.Contains(string(text), "makes none") {
		t.Errorf("main.go is %q, %v", text, err)
	}
}

// TestRun tests fork-new with traces in the place of guests: its own program passes, one
// wrong program is found out as expected, and the others are taken for right.
func TestRun(t *testing.T) {
	l := forkNew(t)
	const release = "6.1.0-50-cloud-amd64"
	dead := errors.New("the kernel panicked")
	test := Test{Lab: l, Seeds: 2, AtOnce: 3, Kernels: []Kernel{{
		Name: release + " (x86_64)", Arch: "x86_64", Release: release,
		Job: func(_ context.Context, l labs.Lab) (harness.Job, error) {
			return harness.Job{Lab: l.Name, Program: "own", Rules: l.Rules("x86_64"), Again: true}, nil
		},
		Compile: func(_ context.Context, _ labs.Lab, program fs.FS) (string, error) {
			text, err := fs.ReadFile(program, "main.go")
			return string(text), err
		},
	}}}
	test.Do = func(_ context.Context, j harness.Job) (*harness.Outcome, error) {
		tr := tracetest.Fork("x86_64")
		switch {
		case j.Program == "own":
			if j.Machine.Seed == 2 {
				return nil, dead
			}
		case j.Again:
			t.Error("a wrong program's snapshot is kept")
		case strings.Contains(j.Program, "Wait4"):
		case j.Limit > 0: // hang
			tracetest.SetExit(tr, trace.Exit{TimedOut: true, Limit: j.Limit})
		default:
			tracetest.Drop(tr, "release_task")
		}
		return &harness.Outcome{Trace: tr, Result: words.Result(grade.Grade(tr, j.Rules))}, nil
	}
	var done []Line
	test.Done = func(l Line) { done = append(done, l) }
	got, err := test.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Tests, done); diff != "" {
		t.Errorf("not every line is told, in order:\n%s", diff)
	}
	lines := map[string]Line{}
	for _, line := range got.Tests {
		lines[line.Test] = line
		if (line.Verdict == verdict.Pass) != (len(line.Problems) == 0) {
			t.Errorf("%+v", line)
		}
	}
	for name, want := range map[string]string{
		"its own program, seed 2":   "the kernel panicked",
		"testdata/wrong/fork-twice": "the verdict is pass, want fail",
		"testdata/wrong/no-fork":    `no finding says "sys_clone"`,
	} {
		if p := strings.Join(lines[name].Problems, "\n"); !strings.Contains(p, want) {
			t.Errorf("%s: %q, want %q", name, p, want)
		}
	}
	for _, name := range []string{"its own program", "testdata/wrong/no-wait", "testdata/wrong/hang"} {
		if l := lines[name]; l.Verdict != verdict.Pass || l.Kernel == "" {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if got.ExitCode() != verdict.ExitError || !strings.Contains(got.Summary(), "1 could not be made") {
		t.Errorf("exit code %d: %s", got.ExitCode(), got.Summary())
	}
	if text := (Line{Test: "a\x1b[2J", Verdict: verdict.Fail, Problems: []string{"b\x1b[2J\nc"}}).Text(); strings.Contains(text, "\x1b") || strings.Count(text, "\n") != 3 {
		t.Errorf("text %q", text)
	}
	check(t, got)
	check(t, Broken("my-lab", errors.New("lab.yaml:1: one\nlab.yaml:2: two")))
}

// check checks a report against its schema.
func check(t *testing.T, r Report) {
	t.Helper()
	var b bytes.Buffer
	if err := r.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "labtest.schema.json").Check(t, b.String()); err != nil {
		t.Error(err)
	}
}

// What students read of a program's run is searched for the answers: a check whose
// reason says one is found.
func TestLeaks(t *testing.T) {
	l := forkNew(t)
	r := l.Rules("x86_64")
	own := tracetest.Fork("x86_64")
	if leaks := Leaks(l, r, own, own); len(leaks) > 0 {
		t.Errorf("fork-new: %q", leaks)
	}
	right := truths(own, r)
	if len(right) != len(r.Questions) {
		t.Errorf("%d of %d questions have a right answer: %q", len(right), len(r.Questions), right)
	}
}
