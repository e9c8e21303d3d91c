package report_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// runner is the environment that Classroom 50's runner gives to an autograder.
var runner = map[string]string{
	"CLASSROOM": "os-2026", "ASSIGNMENT": "fork", "SUBMISSION_TAG": "submit/2026-11-01T10-00-00Z-a1b2c3d",
	"COMMIT_URL": "https://example.org/c/1", "RELEASE_URL": "https://example.org/r/1", "REVIEW_URL": "https://example.org/d/1",
}

func classroom50(t testing.TB) report.Classroom50 {
	t.Helper()
	c, err := report.Classroom50From(func(name string) string { return runner[name] }, time.Date(2026, 11, 1, 10, 0, 0, 5, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An identity that is not complete is an error that names the variables, but for the
// review, which is the commit then.
func TestClassroom50Identity(t *testing.T) {
	for gone := range runner {
		c, err := report.Classroom50From(func(name string) string {
			if name == gone {
				return ""
			}
			return runner[name]
		}, time.Time{})
		if gone == "REVIEW_URL" {
			if err != nil || c.Review != c.Commit {
				t.Errorf("no %s: %+v, %v", gone, c, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), gone) {
			t.Errorf("no %s: error %v", gone, err)
		}
	}
}

// The scores of the tests add up to the score, with checks that students do not see.
func TestClassroom50Sum(t *testing.T) {
	for name, r := range map[string]grade.Rules{"all seen": answered(t, "x86_64"), "some hidden": secretive(t)} {
		doc := verdict.NewDocument(grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tracetest.Fork("x86_64"), Reference: tracetest.Fork("x86_64")}))
		var b strings.Builder
		if err := classroom50(t).Write(&b, doc); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Score int `json:"score"`
			Max   int `json:"max-score"`
			Tests []struct {
				Score int `json:"score"`
				Max   int `json:"max-score"`
			} `json:"tests"`
		}
		if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
			t.Fatal(err)
		}
		score, most := 0, 0
		for _, test := range got.Tests {
			score, most = score+test.Score, most+test.Max
		}
		if want := doc.Results[0]; got.Score != want.Score || got.Max != want.MaxScore || score != want.Score || most != want.MaxScore {
			t.Errorf("%s: %d of %d, the tests %d of %d, want %d of %d", name, got.Score, got.Max, score, most, want.Score, want.MaxScore)
		}
	}
}
