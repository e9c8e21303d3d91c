package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/regress"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/internal/schematest"
)

// ran is one run of a matrix: a trace, or why there is none.
type ran struct {
	lab, arch, kernel string
	change            func(*trace.Trace)
	err               error
}

// matrix grades runs, and compares them with a baseline of the passing run of
// each architecture.
func matrix(t testing.TB, compared bool, runs ...ran) report.Matrix {
	t.Helper()
	var base regress.Baseline
	for _, arch := range []string{"x86_64", "riscv64"} {
		tr := tracetest.Fork(arch)
		base.Update(regress.Record(tr, grade.Grade(tr, rules(t, arch))))
	}
	var m report.Matrix
	for _, r := range runs {
		rl := rules(t, r.arch)
		if r.lab != "" {
			rl.Lab = r.lab
		}
		tr := tracetest.Fork(r.arch)
		tr.Header.Lab, tr.Header.Kernel.Release = rl.Lab, r.kernel
		if r.change != nil {
			r.change(tr)
		}
		res := grade.Grade(tr, rl)
		if r.err != nil {
			tr, res = nil, grade.Failure(rl, r.kernel, r.err)
		}
		m.Results = append(m.Results, res)
		if compared {
			m.Comparisons = append(m.Comparisons, base.Compare(regress.Record(tr, res), res))
		}
	}
	return m
}

func renamed(tr *trace.Trace) {
	for i := range tr.Header.Points {
		if tr.Header.Points[i].Point == "ret_from_fork" {
			tr.Header.Points[i].Symbol = "ret_from_fork_user_asm"
		}
	}
}

func missing(tr *trace.Trace) { tracetest.Drop(tr, "copy_thread") }

// errHostile is what a guest may get into an error.
var errHostile = errors.New("the kernel panicked: <b>|`x` \x1b[31m@all [a](b) ]]>\nsecond line")

func matrices(t testing.TB) map[string]report.Matrix {
	const x86, riscv = "6.1.0-50-cloud-amd64", "6.12.107+deb13-riscv64"
	several := []ran{
		{arch: "x86_64", kernel: x86},
		{arch: "x86_64", kernel: "6.12.107+deb13-cloud-amd64", change: missing},
		{lab: "wait-status", arch: "x86_64", kernel: x86},
		{arch: "riscv64", kernel: riscv, err: errHostile},
		{arch: "riscv64", kernel: "7.2.12+deb14-riscv64", change: renamed},
	}
	strict := matrix(t, true, ran{arch: "riscv64", kernel: "7.2.12+deb14-riscv64", change: renamed})
	strict.Strict = true
	return map[string]report.Matrix{
		"several":  matrix(t, false, several...),
		"compared": matrix(t, true, several...),
		"renamed":  matrix(t, true, ran{arch: "riscv64", kernel: "7.2.12+deb14-riscv64", change: renamed}),
		"strict":   strict,
		"empty":    {},
	}
}

func TestMatrixGolden(t *testing.T) {
	for name, m := range matrices(t) {
		for _, format := range report.MatrixFormats() {
			t.Run(name+"/"+format, func(t *testing.T) {
				var b bytes.Buffer
				if err := report.WriteMatrix(&b, format, m, report.Style{Width: 100}); err != nil {
					t.Fatal(err)
				}
				if strings.ContainsAny(b.String(), "\x1b") {
					t.Error("a control character gets through")
				}
				golden(t, "matrix-"+name+"."+format, b.String())
			})
		}
	}
}

func TestMatrixExitCode(t *testing.T) {
	all := matrices(t)
	known := matrix(t, true, ran{arch: "x86_64", kernel: "6.1.0-50-cloud-amd64", change: missing})
	known.Comparisons[0] = regress.Comparison{Known: true}
	for name, tt := range map[string]struct {
		m    report.Matrix
		want int
	}{
		"one could not be graded":         {all["several"], 3},
		"the same with a baseline":        {all["compared"], 3},
		"a rename":                        {all["renamed"], 0},
		"a rename, strictly":              {all["strict"], 1},
		"nothing":                         {all["empty"], 3},
		"a pass":                          {matrix(t, false, ran{arch: "x86_64", kernel: "6.1"}), 0},
		"a failure":                       {matrix(t, false, ran{arch: "x86_64", kernel: "6.1", change: missing}), 1},
		"a regression":                    {matrix(t, true, ran{arch: "x86_64", kernel: "6.1.0-50-cloud-amd64", change: missing}), 1},
		"a failure with nothing to match": {matrix(t, true, ran{arch: "x86_64", kernel: "5.10.0-46-cloud-amd64", change: missing}), 1},
		"a failure that is known":         {known, 0},
	} {
		if got := tt.m.ExitCode(); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
	}
}

func TestMatrixFormat(t *testing.T) {
	err := report.WriteMatrix(&bytes.Buffer{}, "markdwn", report.Matrix{}, report.Style{})
	if err == nil || err.Error() != `unknown format "markdwn": did you mean "markdown"?` {
		t.Errorf("error %v", err)
	}
	if err := report.WriteMatrix(&bytes.Buffer{}, "ktap", report.Matrix{}, report.Style{}); err == nil || !strings.Contains(err.Error(), "text, json, junit, markdown") {
		t.Errorf("error %v", err)
	}
}

// TestMatrixSchema checks the JSON against its schema, which takes a result from
// that of the verdict.
func TestMatrixSchema(t *testing.T) {
	s := schematest.Load(t, "matrix.schema.json", "../verdict/verdict.schema.json")
	for name, m := range matrices(t) {
		var b bytes.Buffer
		if err := report.WriteMatrix(&b, report.FormatJSON, m, report.Style{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t, b.String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{`{}`, `{"schema":"lab.matrix/2","results":[]}`, `{"schema":"lab.matrix/1","results":[{"lab":"x"}]}`} {
		if s.Check(t, text) == nil {
			t.Errorf("%s is taken for a matrix", text)
		}
	}
}

// TestJUnitSchema checks every JUnit document, of runs and of matrices, against
// the schema of the Jenkins xUnit plugin.
func TestJUnitSchema(t *testing.T) {
	check := func(name string, write func(*bytes.Buffer) error) {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, problem := range checkJUnit(b.Bytes()) {
			t.Errorf("%s: %s", name, problem)
		}
	}
	for name, doc := range documents(t) {
		check(name, func(b *bytes.Buffer) error { return report.Write(b, report.FormatJUnit, doc, report.Style{}) })
	}
	for name, m := range matrices(t) {
		check("matrix "+name, func(b *bytes.Buffer) error { return report.WriteMatrix(b, report.FormatJUnit, m, report.Style{}) })
	}
	const suite = `<testsuite name="a" tests="1" failures="0" errors="0"`
	for text, want := range map[string]string{
		`<testsuites><testcase name="a"/></testsuites>`:                              "testcase is not allowed in testsuites",
		`<testsuites skipped="1"/>`:                                                  "attribute skipped is not allowed in testsuites",
		`<testsuites><testsuite name="a"/></testsuites>`:                             "testsuite lacks its attribute tests",
		suite + `><testcase/></testsuite>`:                                           "testcase lacks its attribute name",
		suite + ` color="red"/>`:                                                     "attribute color is not allowed in testsuite",
		suite + ` time="soon"/>`:                                                     `testsuite has time "soon"`,
		suite + `><testcase name="b">text</testcase></testsuite>`:                    "text is not allowed in testcase",
		suite + `><testcase name="b"><failure><b/></failure></testcase></testsuite>`: "b is not allowed in failure",
		`<suites/>`: "suites is not allowed in the document",
	} {
		if got := strings.Join(checkJUnit([]byte(text)), "; "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", text, got, want)
		}
	}
}

// TestMatrixJUnitFails checks that a regression is a failed case of its own.
func TestMatrixJUnitFails(t *testing.T) {
	count := func(m report.Matrix) (failed []string) {
		var b bytes.Buffer
		if err := report.WriteMatrix(&b, report.FormatJUnit, m, report.Style{}); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Suites []struct {
				Cases []struct {
					Name    string    `xml:"name,attr"`
					Failure *struct{} `xml:"failure"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		for _, s := range doc.Suites {
			for _, c := range s.Cases {
				if c.Failure != nil {
					failed = append(failed, c.Name)
				}
			}
		}
		return failed
	}
	all := matrices(t)
	if diff := cmp.Diff([]string(nil), count(all["renamed"])); diff != "" {
		t.Errorf("a rename -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nothing regressed against the baseline"}, count(all["strict"])); diff != "" {
		t.Errorf("a rename, strictly -want +got:\n%s", diff)
	}
}
