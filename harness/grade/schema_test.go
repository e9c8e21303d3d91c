package grade_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/internal/schematest"
)

func schema(t *testing.T) schematest.Schema {
	t.Helper()
	return schematest.Load(t, "../verdict/verdict.schema.json")
}

// everything is a document with the verdict over every trace of TestGrade.
func everything() verdict.Document {
	doc := verdict.NewDocument()
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
	veiled.Points[1].Visibility, veiled.ProgramVisibility = verdict.Hidden, verdict.AfterDueDate
	secretive := tracetest.Fork("x86_64")
	tracetest.Drop(secretive, veiled.Points[1].Name)
	hidden := verdict.NewDocument(judge(secretive, veiled))
	if shown := redact.Shown(hidden, verdict.Visible); cmp.Equal(hidden, shown) || len(shown.Results[0].Unseen) > 0 {
		t.Error("what is hidden is shown")
	}
	for name, doc := range map[string]verdict.Document{"everything": everything(), "hidden": hidden, "empty": verdict.NewDocument(), "zero": {}} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := doc.Encode(&b); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(t, b.String()); err != nil {
				t.Error(err)
			}
			got, err := verdict.Decode(&b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(verdict.NewDocument(doc.Results...), got); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSchemaRefuses checks that a pass has to be one.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	pass := judge(tracetest.Fork("x86_64"), forkRules("x86_64"))
	for name, spoil := range map[string]func(r *verdict.Result){
		"a skipped check":     func(r *verdict.Result) { r.Checks[3].Verdict = verdict.Skip },
		"a failed check":      func(r *verdict.Result) { r.Checks[0].Verdict = verdict.Fail },
		"no check":            func(r *verdict.Result) { r.Checks = []verdict.Check{} },
		"a finding":           func(r *verdict.Result) { r.Findings = []verdict.Finding{{Kind: verdict.FindHits, Message: "x"}} },
		"an error":            func(r *verdict.Result) { r.Error = "no boot" },
		"an error without it": func(r *verdict.Result) { r.Verdict = verdict.Error },
		"skip as verdict":     func(r *verdict.Result) { r.Verdict = verdict.Skip },
	} {
		r := pass
		r.Checks = append([]verdict.Check{}, pass.Checks...)
		spoil(&r)
		var b bytes.Buffer
		if err := verdict.NewDocument(r).Encode(&b); err != nil {
			t.Fatal(err)
		}
		if s.Check(t, b.String()) == nil {
			t.Errorf("a pass with %s is taken for a verdict", name)
		}
	}
}
