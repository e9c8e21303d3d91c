package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jstemmer/go-junit-report/v2/junit"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// forkNew is the lab, which takes a while to load.
var forkNew = sync.OnceValues(func() (labs.Lab, error) { return labs.Get("fork-new") })

func rules(t testing.TB, arch string) grade.Rules {
	t.Helper()
	l, err := forkNew()
	if err != nil {
		t.Fatal(err)
	}
	return l.Rules(arch)
}

// documents are what every format is shown of.
func documents(t testing.TB) map[string]verdict.Document {
	t.Helper()
	x, rv := rules(t, "x86_64"), rules(t, "riscv64")
	noWait := tracetest.Fork("x86_64")
	tracetest.Drop(noWait, "release_task")
	tracetest.SetExit(noWait, trace.Exit{Output: "This is Parent Process!\nThis is child process\n", Leftover: 1})
	hostile := tracetest.Fork("riscv64")
	tracetest.SetExit(hostile, trace.Exit{
		TimedOut: true, Limit: 12e9, Output: "\x1b[2Jok 1 done # SKIP\n]]>&<failure/>\n\xff\xfe\u202etxt\nThis is Child Process!\n",
	})
	tracetest.SetRead(hostile, "ret_from_fork", "thread_sp", 0xff20000000000000)
	for i := range hostile.Events {
		if task := hostile.Events[i].Task; task != nil {
			copied := *task
			copied.Comm = "a\x1b[31m\n]#"
			hostile.Events[i].Task = &copied
		}
	}
	failed := grade.Failure(rv, "7.2.12+deb14-riscv64", errors.New("boot: no console output within 40s: see console.log"))
	failed.Attempts = 2
	return map[string]verdict.Document{
		"pass":    verdict.NewDocument(grade.Grade(tracetest.Fork("x86_64"), x)),
		"no-wait": verdict.NewDocument(grade.Grade(noWait, x)),
		"several": verdict.NewDocument(grade.Grade(tracetest.Fork("x86_64"), x), grade.Grade(hostile, rv), failed),
		"empty":   verdict.NewDocument(),
	}
}

// all are documents of runs and of submissions.
func all(t testing.TB) map[string]verdict.Document {
	docs := documents(t)
	for _, name := range []string{"submission", "compile"} {
		docs[name] = submissions(t)[name]
	}
	return docs
}

func TestGolden(t *testing.T) {
	for name, doc := range all(t) {
		for _, format := range report.Formats() {
			if format == report.FormatHTML {
				continue // view's tests read it
			}
			t.Run(name+"/"+format, func(t *testing.T) {
				var b bytes.Buffer
				write := func() error { return report.Write(&b, format, doc, report.Style{}) }
				if format == report.FormatClassroom50 {
					write = func() error { return classroom50(t).Write(&b, doc) }
				}
				if err := write(); err != nil && !errors.Is(err, report.ErrNotGraded) {
					t.Fatal(err)
				}
				golden(t, name+"."+format, b.String())
			})
		}
		t.Run(name+"/wide", func(t *testing.T) {
			var b bytes.Buffer
			if err := report.Text(&b, doc, report.Style{Width: 120}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".wide", b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run with -update and read what it says", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestText checks what holds for text whatever a guest says.
func TestText(t *testing.T) {
	for name, doc := range documents(t) {
		for _, width := range []int{40, 60, 80, 100} {
			var b bytes.Buffer
			if err := report.Text(&b, doc, report.Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(b.String(), "\x1b\r\u202e") || !utf8.ValidString(b.String()) {
				t.Errorf("%s: control characters reach the terminal", name)
			}
			for _, l := range strings.Split(b.String(), "\n") {
				if n := utf8.RuneCountInString(l); n > width && width >= 60 {
					t.Errorf("%s: %d columns where %d are: %s", name, n, width, l)
				}
				if l != strings.TrimRight(l, " ") {
					t.Errorf("%s: trailing blanks: %q", name, l)
				}
			}
		}
	}
}

func TestTextColor(t *testing.T) {
	doc := documents(t)["several"]
	var plain, colored bytes.Buffer
	if err := report.Text(&plain, doc, report.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := report.Text(&colored, doc, report.Style{Color: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(colored.String(), "\x1b[") {
		t.Error("no colour where it was asked for")
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "")
	trim := regexp.MustCompile(`(?m) +$`)
	if diff := cmp.Diff(plain.String(), trim.ReplaceAllString(stripped, "")); diff != "" {
		t.Errorf("colour changes the text (-plain +stripped):\n%s", diff)
	}
}

func TestUnknownFormat(t *testing.T) {
	err := report.Write(&bytes.Buffer{}, "juint", verdict.NewDocument(), report.Style{})
	var bad *report.FormatError
	if !errors.As(err, &bad) || bad.Nearest != report.FormatJUnit {
		t.Errorf("error %v, want a FormatError that names junit", err)
	}
	if err := report.Write(&bytes.Buffer{}, "x", verdict.NewDocument(), report.Style{}); err == nil || !strings.Contains(err.Error(), "gradescope") {
		t.Errorf("error %v, want one that lists the formats", err)
	}
}

// TestNeverGood checks that no format shows a result that does not pass as good.
func TestNeverGood(t *testing.T) {
	skipped := grade.Grade(tracetest.Fork("x86_64"), rules(t, "x86_64"))
	skipped.Verdict, skipped.Findings = verdict.Fail, []verdict.Finding{{Kind: verdict.FindNotSeen, Message: "not seen"}}
	last := len(skipped.Checks) - 3
	skipped.Checks[last].Verdict, skipped.Checks[last].Score = verdict.Skip, 0
	bare := skipped
	bare.Checks = nil
	for name, r := range map[string]verdict.Result{
		"only a skip": skipped, "only a finding": bare, "an error": grade.Failure(rules(t, "x86_64"), "", errors.New("no boot")),
	} {
		t.Run(name, func(t *testing.T) {
			doc := verdict.NewDocument(r)
			var b bytes.Buffer
			if err := report.Write(&b, report.FormatJUnit, doc, report.Style{}); err != nil {
				t.Fatal(err)
			}
			var suites junit.Testsuites
			if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
				t.Fatal(err)
			}
			if suites.Failures+suites.Errors == 0 {
				t.Errorf("junit has neither failure nor error:\n%s", b.String())
			}
			b.Reset()
			if err := report.Write(&b, report.FormatKTAP, doc, report.Style{}); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), "\nnot ok 1 ") {
				t.Errorf("ktap says ok:\n%s", b.String())
			}
		})
	}
}

func TestJUnitNames(t *testing.T) {
	r := grade.Grade(tracetest.Fork("x86_64"), rules(t, "x86_64"))
	var b bytes.Buffer
	if err := report.Write(&b, report.FormatJUnit, verdict.NewDocument(r, r), report.Style{}); err != nil {
		t.Fatal(err)
	}
	var suites junit.Testsuites
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range suites.Suites {
		for _, c := range s.Testcases {
			key := c.Classname + "/" + c.Name
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	}
	if len(seen) != 2*len(r.Checks) {
		t.Errorf("%d cases, want %d", len(seen), 2*len(r.Checks))
	}
}

func TestGradescopeSum(t *testing.T) {
	for name, doc := range documents(t) {
		var b bytes.Buffer
		if err := report.Write(&b, report.FormatGradescope, doc, report.Style{}); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Tests []struct {
				Score    int    `json:"score"`
				MaxScore int    `json:"max_score"`
				Status   string `json:"status"`
			} `json:"tests"`
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		score, want := 0, 0
		for _, r := range doc.Results {
			want += r.Score
		}
		if doc.ExitCode() == verdict.ExitError {
			want = 0 // not graded: no score at all
		}
		for _, test := range got.Tests {
			score += test.Score
			if test.Status != "" && test.MaxScore > 0 && (test.Status == "passed") != (test.Score == test.MaxScore) {
				t.Errorf("%s: a test %s with %d of %d", name, test.Status, test.Score, test.MaxScore)
			}
		}
		if score != want {
			t.Errorf("%s: tests add up to %d, want %d", name, score, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("This is Child Process!\n\x1b[0m", "fork-new", 80)
	r := rules(f, "x86_64")
	f.Fuzz(func(t *testing.T, output, comm string, width int) {
		tr := tracetest.Fork("x86_64")
		tracetest.SetExit(tr, trace.Exit{Output: output})
		tr.Events[1].Task = &trace.Task{PID: 1, TGID: 1, Comm: comm}
		doc := verdict.NewDocument(grade.Grade(tr, r))
		var b bytes.Buffer
		if err := report.Text(&b, doc, report.Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		if !utf8.ValidString(b.String()) || strings.ContainsAny(b.String(), "\x1b\r\b") {
			t.Errorf("text is not plain: %q", b.String())
		}
	})
}
