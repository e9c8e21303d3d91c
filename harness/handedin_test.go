package harness_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/internal/schematest"
	"kernellab/labs"
)

// answersOfAllKinds are answers of every type, right, wrong and unreadable.
func answersOfAllKinds() grade.Answers {
	return grade.Answers{
		"path":           {"": []string{"sys_clone", "kernel_clone", "copy_process", "dup_task_struct", "copy_thread", "wake_up_new_task"}},
		"first-function": {"": grade.Invalid(`want the name of a function, not "{}"`)},
		"first-address":  {"x86_64": -0x7ef68c80, "riscv64 6.12": 0x10},
		"stack-distance": {"": 168.5, "riscv64": 288},
		"child-own":      {"": []string{}},
	}
}

// TestHandedIn grades again what a submission without a program that runs left: the
// answers, what is wrong with the rest, and a run of the lab's own program.
func TestHandedIn(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	rules := l.Rules("x86_64")
	for name, s := range map[string]*submission.Submission{
		"answers alone": {Answers: answersOfAllKinds()},
		"no compile": {
			Answers: answersOfAllKinds(), Program: &submission.Program{Language: submission.Go, File: "prog.go"},
			Problems: []*submission.Problem{{Part: submission.PartAnswers, File: "answers.yaml", Line: 3, Message: "no question"}},
		},
		"not asked": {Program: &submission.Program{Language: submission.C, File: "prog.c"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			stale := []byte("of another run")
			for _, file := range []string{harness.TraceFile, harness.ReferenceFile} {
				if err := os.WriteFile(filepath.Join(dir, file), stale, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, err := harness.Submitted{
				Submission: s, Own: harness.Job{Rules: rules, Out: dir},
				Compile: func(context.Context, submission.Program) (string, string, error) {
					return "", "prog.go:1: no", nil
				},
				Reference: func(context.Context) (*trace.Trace, error) { return tracetest.Fork("x86_64"), nil },
			}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			handed, err := harness.ReadHandedIn(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.Answers, handed.Answers); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(dir, harness.TraceFile)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the trace of an earlier run is left: %v", err)
			}
			var reference *trace.Trace
			if f, err := os.Open(filepath.Join(dir, harness.ReferenceFile)); err == nil {
				defer f.Close()
				if reference, err = trace.Read(f); err != nil {
					t.Fatal(err)
				}
			} else if s.Answers != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(out.Result, handed.Grade(rules, nil, reference)); diff != "" {
				t.Errorf("result (-run +again):\n%s", diff)
			}
			schematest.Load(t, "handedin.schema.json").Strict(t, filepath.Join(dir, harness.SubmissionFile))
		})
	}
}

func TestHandedInRefused(t *testing.T) {
	const good = `{"schema":"lab.submission/1","lab":"l","arch":"a","kernel":"k","trace":"","answers":{},"answers_only":false,"findings":[],"notes":[]}`
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"no file":          {"", fs.ErrNotExist},
		"good":             {good, nil},
		"of another trace": {`{"schema":"lab.submission/1","trace":"00"}`, harness.ErrOtherRun},
		"another version":  {`{"schema":"lab.submission/2"}`, errAny},
		"unknown field":    {`{"schema":"lab.submission/1","more":1}`, errAny},
		"no answer":        {`{"schema":"lab.submission/1","answers":{"q":{"":{"valid":1}}}}`, errAny},
		"no number":        {`{"schema":"lab.submission/1","answers":{"q":{"":true}}}`, errAny},
		"no JSON":          {`{`, errAny},
	} {
		dir := t.TempDir()
		if tt.text != "" {
			if err := os.WriteFile(filepath.Join(dir, harness.SubmissionFile), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		_, err := harness.ReadHandedIn(dir)
		if (err != nil) != (tt.want != nil) || tt.want != errAny && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

var errAny = errors.New("any error")

// FuzzHandedIn: whatever lies in a folder as what was handed in, reading it gives that or
// an error.
func FuzzHandedIn(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, harness.SubmissionFile)
	f.Add([]byte(`{"schema": "` + harness.SubmissionSchema + `", "answers": {"path": {"": ["sys_clone"]}, "x": {"riscv64 6.12": 16}}}`))
	f.Add([]byte(`{"schema": "` + harness.SubmissionSchema + `", "trace": "00", "answers": {"x": {"": {}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := harness.ReadHandedIn(dir)
		if err != nil {
			return
		}
		l, err := labs.Get("fork-new")
		if err != nil {
			t.Fatal(err)
		}
		if r := h.Grade(l.Rules("x86_64"), nil, nil); r.Score > r.MaxScore || r.Score < 0 {
			t.Errorf("%d of %d points", r.Score, r.MaxScore)
		}
	})
}
