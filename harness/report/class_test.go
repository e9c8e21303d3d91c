package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/internal/schematest"
)

// students is a class with everything in it that a report has to tell apart.
func students(t testing.TB) report.Class {
	t.Helper()
	x, rv := rules(t, "x86_64"), rules(t, "riscv64")
	result := func(arch string, r grade.Rules, change func(*trace.Trace)) verdict.Result {
		tr := tracetest.Fork(arch)
		if change != nil {
			change(tr)
		}
		return grade.Grade(tr, r)
	}
	noWait := func(tr *trace.Trace) { tracetest.Drop(tr, "release_task") }
	slow := func(tr *trace.Trace) { tracetest.SetExit(tr, trace.Exit{TimedOut: true, Limit: 10e9}) }
	dead := errors.New("the kernel 6.12 panicked: Kernel panic at 0xffff1234\nmore")
	c := report.Class{Lab: "fork-new"}
	add := func(name string, attempts int, results ...verdict.Result) {
		c.Students = append(c.Students, report.Graded{Student: name, Attempts: attempts, Took: 1e9, Document: verdict.NewDocument(results...)})
	}
	good, goodToo := result("x86_64", x, nil), result("riscv64", rv, nil)
	add("alice", 1, good, goodToo)
	add("bob", 2, good, goodToo)
	add("carol", 1, good, result("riscv64", rv, noWait))
	add("dan", 2, good, grade.Failure(rv, "6.12", dead))
	add("=eve\x1b[2J,\"", 2, grade.Failure(x, "6.1", dead), grade.Failure(rv, "6.12", dead))
	late, lateToo := result("x86_64", x, slow), result("riscv64", rv, slow)
	for _, name := range []string{"f", "g", "h", "i", "j"} {
		add(name, 1, late, lateToo)
	}
	return c
}

func TestClassGolden(t *testing.T) {
	for name, c := range map[string]report.Class{"class": students(t), "class-empty": {Lab: "fork-new"}} {
		for _, format := range report.ClassFormats() {
			var b bytes.Buffer
			if err := report.WriteClass(&b, format, c, report.Style{Width: 100}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+"."+format, b.String())
			if format != report.FormatCSV && format != report.FormatJUnit && strings.ContainsAny(b.String(), "\x1b") {
				t.Errorf("%s: a student's name reaches the terminal", format)
			}
		}
	}
}

// The summary tells what looks like a failure that is not the students'.
func TestSuspects(t *testing.T) {
	s := students(t).Summary()
	got := map[string]int{}
	for _, x := range s.Suspects {
		got[x.Kind] += max(len(x.Students), 1)
	}
	want := map[string]int{
		report.SuspectUngraded: 2, report.SuspectRetried: 1, report.SuspectTimeouts: 5, report.SuspectKernels: 1, report.SuspectSameFail: 5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("suspects -want +got:\n%s", diff)
	}
	if s.Students != 10 || s.Passed != 2 || s.Failed != 6 || s.NotGraded != 2 {
		t.Errorf("%d students, %d passed, %d failed, %d not graded", s.Students, s.Passed, s.Failed, s.NotGraded)
	}
	all := report.Class{Lab: "fork-new"}
	all.Students = append(all.Students, students(t).Students[5:]...)
	found := false
	for _, x := range all.Summary().Suspects {
		found = found || x.Kind == report.SuspectNobody
	}
	if !found {
		t.Error("a check that nobody passes is not told of")
	}
}

// Trimming takes nothing that a class's reports show.
func TestTrim(t *testing.T) {
	whole, trimmed := students(t), students(t)
	for i := range trimmed.Students {
		trimmed.Students[i].Trim()
	}
	if len(trimmed.Students[0].Document.Results[0].Steps) > 0 || len(whole.Students[0].Document.Results[0].Steps) == 0 {
		t.Error("Trim does not drop the steps, or drops another's")
	}
	for _, format := range report.ClassFormats() {
		if format == report.FormatJUnit {
			continue // it has the reasons of checks too where they are
		}
		var a, b bytes.Buffer
		if err := errors.Join(report.WriteClass(&a, format, whole, report.Style{}), report.WriteClass(&b, format, trimmed, report.Style{})); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a.String(), b.String()); diff != "" {
			t.Errorf("%s -whole +trimmed:\n%s", format, diff)
		}
	}
}

func TestClassSchema(t *testing.T) {
	s := schematest.Load(t, "class.schema.json")
	for _, c := range []report.Class{students(t), {Lab: "fork-new"}} {
		var b bytes.Buffer
		if err := c.Summary().Encode(&b); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t, b.String()); err != nil {
			t.Error(err)
		}
		if err := s.Check(t, strings.Replace(b.String(), report.ClassSchema, "lab.class/2", 1)); err == nil {
			t.Error("another version is taken for this one")
		}
	}
}

// What Gradescope and Classroom 50 read has their fields and no others.
func TestPublishedFormats(t *testing.T) {
	gradescope, classroom := schematest.Load(t, "gradescope.schema.json"), schematest.Load(t, "classroom50.schema.json")
	docs := documents(t)
	for _, g := range students(t).Students {
		docs["class "+g.Student] = g.Document
	}
	for name, doc := range docs {
		var b bytes.Buffer
		for _, how := range []report.Gradescope{{}, {Visibility: "after_published", Stdout: "visible"}} {
			b.Reset()
			if err := how.Write(&b, doc); err != nil {
				t.Fatal(err)
			}
			if err := gradescope.Check(t, b.String()); err != nil {
				t.Errorf("%s: gradescope: %v", name, err)
			}
		}
		b.Reset()
		err := classroom50(t).Write(&b, doc)
		if graded := doc.ExitCode() != verdict.ExitError; !graded {
			if !errors.Is(err, report.ErrNotGraded) || b.Len() > 0 {
				t.Errorf("%s: not graded, and Classroom 50 reads %q, %v", name, &b, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := classroom.Check(t, b.String()); err != nil {
			t.Errorf("%s: classroom50: %v", name, err)
		}
	}
	var b bytes.Buffer
	if err := (report.Gradescope{}).WriteUnfinished(&b, "it took more than 540 s"); err != nil {
		t.Fatal(err)
	}
	if err := gradescope.Check(t, b.String()); err != nil {
		t.Errorf("unfinished: %v", err)
	}
	for _, bad := range []string{`{}`, `{"tests":[]}`, `{"score":1,"grade":1}`, `{"score":1,"visibility":"shown"}`, `{"tests":[{"name":"a"}]}`, `{"tests":[{"score":1,"status":"pass"}]}`} {
		if err := gradescope.Check(t, bad); err == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// results is as much of results.json as matters here.
type results struct {
	Score      *float64 `json:"score"`
	Output     string   `json:"output"`
	Visibility string   `json:"visibility"`
	Tests      []struct {
		Score      *float64 `json:"score"`
		Name       string   `json:"name"`
		Output     string   `json:"output"`
		Status     string   `json:"status"`
		Visibility string   `json:"visibility"`
	} `json:"tests"`
}

func readResults(t *testing.T, how report.Gradescope, doc verdict.Document) results {
	t.Helper()
	var b bytes.Buffer
	if err := how.Write(&b, doc); err != nil {
		t.Fatal(err)
	}
	var r results
	if err := json.Unmarshal(b.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// What was not graded has no score anywhere, not even for what passed on another
// kernel.
func TestGradescopeNotGraded(t *testing.T) {
	for _, g := range students(t).Students {
		r := readResults(t, report.Gradescope{}, g.Document)
		graded := g.Verdict() != verdict.Error
		for _, test := range r.Tests {
			if (test.Score != nil) != graded || (test.Status != "") != graded || r.Score != nil {
				t.Errorf("%q: graded %t, test %q with score %v and status %q", g.Student, graded, test.Name, test.Score, test.Status)
			}
		}
		if !graded && !strings.Contains(r.Output, "not your mistake") {
			t.Errorf("%q: %q does not say whose fault it is", g.Student, r.Output)
		}
	}
}

// What there is not to hide, and a visibility that there is not, are refused. What is
// hidden is so too where nothing was graded.
func TestGradescopeHidden(t *testing.T) {
	const secret = "the child ends with the exit status that is asked for"
	names := []string{secret}
	if err := (report.Gradescope{Hidden: []string{"the child ends with the exit status that is asked"}}).Check(names); err == nil || !strings.Contains(err.Error(), secret) {
		t.Errorf("a check that there is not: %v", err)
	}
	if err := (report.Gradescope{Visibility: "hiden"}).Check(names); err == nil || !strings.Contains(err.Error(), "did you mean hidden?") {
		t.Errorf("a visibility that there is not: %v", err)
	}
	r := readResults(t, report.Gradescope{Hidden: names}, documents(t)["several"])
	seen := 0
	for _, test := range r.Tests {
		hidden := strings.HasSuffix(test.Name, secret)
		if hidden != (test.Visibility == "hidden") {
			t.Errorf("%q is %s", test.Name, test.Visibility)
		}
		if hidden {
			seen++
		}
	}
	if seen != 3 || strings.Contains(r.Output, secret) {
		t.Errorf("%d of 3 hidden, and the output is %s", seen, r.Output)
	}
}
