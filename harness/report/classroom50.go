package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
)

// Classroom50Schema names the result of an autograder that Classroom 50 reads.
const Classroom50Schema = "classroom50/result/v1"

// ErrNotGraded is returned for a document with a result that could not be graded, by
// formats that cannot omit a score: it would be read as 0 points.
var ErrNotGraded = errors.New("there is no result to write: the submission was not graded")

// IfGraded returns err, or nil for ErrNotGraded, where the exit code says that.
func IfGraded(err error) error {
	if errors.Is(err, ErrNotGraded) {
		return nil
	}
	return err
}

// ClassroomEnded is the error text for the format of GitHub Classroom, which ended.
const ClassroomEnded = "unknown format \"classroom\": GitHub Classroom ended in August 2026; use classroom50, the format of Classroom 50, its successor"

// Classroom50 identifies a submission to Classroom 50. Its runner gives the identity to
// an autograder in environment variables.
type Classroom50 struct {
	Classroom, Assignment, Submission string
	Commit, Release, Review           string // URLs
	Time                              time.Time
}

// Identify reads the identity from the environment, if results are written in a format
// that needs it. What is missing is a mistake of usage.
func Identify(format string, getenv func(string) string, now time.Time) (Classroom50, error) {
	if format != FormatClassroom50 {
		return Classroom50{}, nil
	}
	c, err := Classroom50From(getenv, now)
	if err != nil {
		return c, usage.Errorf("--format %s: %w", format, err)
	}
	return c, nil
}

// WriteOr is Write, with results for Classroom 50 in its format. It writes none of a
// submission that was not graded, which the exit code says.
func (c Classroom50) WriteOr(w io.Writer, format string, doc verdict.Document, s Style) error {
	if format != FormatClassroom50 {
		return Write(w, format, doc, s)
	}
	return IfGraded(c.Write(w, doc))
}

// Classroom50From reads the identity from the environment. The error names the
// variables that are not set.
func Classroom50From(getenv func(string) string, now time.Time) (Classroom50, error) {
	c := Classroom50{Time: now.UTC()}
	var missing []string
	for _, v := range []struct {
		name string
		into *string
	}{
		{"CLASSROOM", &c.Classroom}, {"ASSIGNMENT", &c.Assignment}, {"SUBMISSION_TAG", &c.Submission},
		{"COMMIT_URL", &c.Commit}, {"RELEASE_URL", &c.Release},
	} {
		if *v.into = getenv(v.name); *v.into == "" {
			missing = append(missing, v.name)
		}
	}
	if len(missing) > 0 {
		return c, fmt.Errorf("the environment does not identify the submission: %s is not set, which Classroom 50's runner does", strings.Join(missing, ", "))
	}
	c.Review = getenv("REVIEW_URL")
	if c.Review == "" { // older runners do not set it
		c.Review = c.Commit
	}
	return c, nil
}

// classroom50Result is result.json.
type classroom50Result struct {
	Schema     string            `json:"schema"`
	Classroom  string            `json:"classroom"`
	Assignment string            `json:"assignment"`
	Submission string            `json:"submission"`
	Commit     string            `json:"commit"`
	Release    string            `json:"release"`
	Review     string            `json:"review"`
	Datetime   string            `json:"datetime"` // UTC, ISO 8601
	Score      int               `json:"score"`
	MaxScore   int               `json:"max-score"`
	Tests      []classroom50Test `json:"tests"`
}

type classroom50Test struct {
	Name     string `json:"test-name"`
	Passed   bool   `json:"passed"`
	Score    int    `json:"score"`
	MaxScore int    `json:"max-score"`
}

// Write writes a document as result.json. The scores of the tests add up to the score:
// what students may not see now is one test without a name of its own. If a part of the
// document could not be graded, Write writes nothing and returns ErrNotGraded.
func (c Classroom50) Write(w io.Writer, doc verdict.Document) error {
	if doc.ExitCode() == verdict.ExitError {
		return ErrNotGraded
	}
	out := classroom50Result{
		Schema: Classroom50Schema, Classroom: c.Classroom, Assignment: c.Assignment, Submission: c.Submission,
		Commit: c.Commit, Release: c.Release, Review: c.Review, Datetime: c.Time.Format("2006-01-02T15:04:05Z"),
		Tests: []classroom50Test{},
	}
	shown := words.Document(redact.Shown(doc, verdict.Visible)) // the format cannot show a test later
	seen := map[string]bool{}
	for i, r := range doc.Results {
		out.Score += r.Score
		out.MaxScore += r.MaxScore
		rest := classroom50Test{Score: r.Score, MaxScore: r.MaxScore}
		on := ""
		if r.Arch != "" {
			on = plain(r.Arch) + ": "
		}
		for _, check := range shown.Results[i].Checks {
			rest.Score -= check.Score
			rest.MaxScore -= check.MaxScore
			out.Tests = append(out.Tests, classroom50Test{
				Name: unique(seen, on+plain(check.Name)), Passed: check.Verdict == verdict.Pass, Score: check.Score, MaxScore: check.MaxScore,
			})
		}
		if rest.Score != 0 || rest.MaxScore != 0 {
			rest.Name, rest.Passed = unique(seen, on+"what is not shown"), rest.Score == rest.MaxScore
			out.Tests = append(out.Tests, rest)
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return fmt.Errorf("write Classroom 50's result: %w", err)
	}
	return nil
}
