package submission_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/submission"
	"kernellab/harness/variant"
)

// recorded reads a submission with this record.
func recorded(t *testing.T, text string) *submission.Submission {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, variant.File), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := submission.Read(t.Context(), dir, submission.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRecord checks that what is written of a student's task is read again.
func TestRecord(t *testing.T) {
	for _, want := range []variant.Record{
		{Lab: "fork-new", Student: "alice", Values: map[string]string{"exit_status": "7"}},
		{Lab: "fork-new", Student: `é: "x" #1 \ {y}`, Secret: "00112233", Values: map[string]string{"flags": "CLONE_FS + CLONE_FILES", "end": "SIGTERM"}},
		{Lab: "fork-new", Student: "0x10", Values: map[string]string{"text": `"a b"`}},
	} {
		s := recorded(t, want.Text())
		if s.Recorded == nil || len(s.Problems) > 0 {
			t.Fatalf("%v of\n%s", s.Problems, want.Text())
		}
		if diff := cmp.Diff(want, *s.Recorded); diff != "" {
			t.Errorf("the record (-want +got):\n%s", diff)
		}
	}
}

// TestRecordSpoilt checks that a spoilt record is a remark, and costs nothing.
func TestRecordSpoilt(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "want the lab",
		"[1]":                                    "want the lab",
		"lab: [":                                 "not YAML",
		"lab: fork-new\nstudent: a\n":            "want the lab and the variant",
		"lab: x\nstudent: ''\nvariant: {a: 1}\n": "ID is empty",
		"lab: x\nstudent: a\nvariant: {a: [1]}\n":                              "want a value for a",
		"lab: x\nstudent: a\nvariant: 3\n":                                     "want up to 16 names",
		"lab: x\nstudent: &a b\nvariant: {a: *a}\n":                            "anchor",
		"lab: x\nstudents: a\nvariant: {a: 1}\n":                               `unknown entry "students"`,
		"lab: x\nstudent: a\nvariant: {a: 1}\n# " + strings.Repeat("x", 9<<10): "larger than 8 KiB",
	} {
		s := recorded(t, text)
		if s.Recorded != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), want) || !s.Problems[0].Free {
			t.Errorf("%.60q: record %v, problems %v, want one with %q that is free", text, s.Recorded, s.Problems, want)
		}
		if s.Problem(submission.PartProgram) != nil || s.Problem(submission.PartAnswers) != nil {
			t.Errorf("%.60q costs a part", text)
		}
	}
}
