package grade_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kernellab/harness/grade"
	"kernellab/harness/report/words"
	"kernellab/harness/trace/tracetest"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile("verdict.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("verdict.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("verdict.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// everything is a document with the verdict over every trace of TestGrade.
func everything() grade.Document {
	doc := grade.NewDocument()
	for _, arch := range []string{"x86_64", "riscv64"} {
		for _, w := range wrongs() {
			tr := tracetest.Fork(arch)
			w.make(tr)
			doc.Results = append(doc.Results, judge(tr, forkRules(arch)))
		}
	}
	failed := words.Result(grade.Failure(forkRules("riscv64"), "", errors.New("boot: no console output")))
	failed.Attempts = 2
	doc.Results = append(doc.Results, failed, words.Result(grade.Failure(grade.Rules{}, "", nil)), judge(nil, grade.Rules{}))
	return doc
}

func TestDocument(t *testing.T) {
	s := schema(t)
	veiled := forkRules("x86_64")
	veiled.Points[1].Visibility, veiled.ProgramVisibility = grade.Hidden, grade.AfterDueDate
	secretive := tracetest.Fork("x86_64")
	tracetest.Drop(secretive, veiled.Points[1].Name)
	hidden := grade.NewDocument(judge(secretive, veiled))
	if shown := hidden.Shown(grade.Visible); cmp.Equal(hidden, shown) || len(shown.Results[0].Unseen) > 0 {
		t.Error("what is hidden is shown")
	}
	for name, doc := range map[string]grade.Document{"everything": everything(), "hidden": hidden, "empty": grade.NewDocument(), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := doc.Encode(&b); err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); err != nil {
				t.Error(err)
			}
			got, err := grade.Decode(&b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(grade.NewDocument(doc.Results...), got); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":         {"", "EOF"},
		"another version": {`{"schema":"lab.verdict/2","results":[]}`, "write it again"},
		"unknown field":   {`{"schema":"lab.verdict/1","result":[]}`, `unknown field "result"`},
		"two":             {`{"schema":"lab.verdict/1","results":[]} {}`, "more than one"},
		"unknown verdict": {`{"schema":"lab.verdict/1","results":[{"verdict":"skip"}]}`, `unknown verdict "skip"`},
	} {
		if _, err := grade.Decode(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
}

// TestSchemaRefuses checks that a pass has to be one.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	pass := judge(tracetest.Fork("x86_64"), forkRules("x86_64"))
	for name, spoil := range map[string]func(r *grade.Result){
		"a skipped check":     func(r *grade.Result) { r.Checks[3].Verdict = grade.Skip },
		"a failed check":      func(r *grade.Result) { r.Checks[0].Verdict = grade.Fail },
		"no check":            func(r *grade.Result) { r.Checks = []grade.Check{} },
		"a finding":           func(r *grade.Result) { r.Findings = []grade.Finding{{Kind: grade.FindHits, Message: "x"}} },
		"an error":            func(r *grade.Result) { r.Error = "no boot" },
		"an error without it": func(r *grade.Result) { r.Verdict = grade.Error },
		"skip as verdict":     func(r *grade.Result) { r.Verdict = grade.Skip },
	} {
		r := pass
		r.Checks = append([]grade.Check{}, pass.Checks...)
		spoil(&r)
		var b bytes.Buffer
		if err := grade.NewDocument(r).Encode(&b); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("a pass with %s is taken for a verdict", name)
		}
	}
}

func TestExitCode(t *testing.T) {
	of := func(vs ...grade.Verdict) grade.Document {
		d := grade.NewDocument()
		for _, v := range vs {
			d.Results = append(d.Results, grade.Result{Verdict: v})
		}
		return d
	}
	for name, tt := range map[string]struct {
		doc  grade.Document
		want int
	}{
		"nothing":         {of(), 3},
		"pass":            {of(grade.Pass, grade.Pass), 0},
		"fail":            {of(grade.Pass, grade.Fail, grade.Pass), 1},
		"error":           {of(grade.Error, grade.Pass), 3},
		"error beats all": {of(grade.Pass, grade.Error, grade.Fail), 3},
		"unknown verdict": {of(grade.Pass, ""), 3},
	} {
		if got := tt.doc.ExitCode(); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
	}
}
