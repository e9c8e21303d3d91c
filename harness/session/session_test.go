package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/verdict"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func targets() []prepare.Target {
	var all []prepare.Target
	for _, a := range arch.All() {
		all = append(all, prepare.Target{Arch: a, Image: &kernel.Image{Release: "6.1.0-" + a.Name}})
	}
	return all
}

// A folder that cannot be made ends the session, before a guest is started.
func TestNoFolder(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log strings.Builder
	s := Session{
		Host: prepare.Host{Progress: progress.New(&log)}, Lab: l, Out: filepath.Join(file, "out"), Format: report.FormatJSON, AtOnce: 1,
	}
	if _, err := s.runAll(t.Context(), &out, targets()); err == nil || !strings.Contains(err.Error(), "make the folder of --out") {
		t.Errorf("error %v, want one of the folder", err)
	}
	if out.String() != "" || log.String() != "" {
		t.Errorf("written %q and %q", out.String(), log.String())
	}
}

// A submission that could not be graded is judged by the rules of submissions, which
// have its questions.
func TestRules(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	r := run{Session: Session{Lab: l}, target: targets()[0]}
	own := r.rules()
	r.Submission = submission.Refused("eve", &submission.Problem{Part: submission.PartAll, Message: "too large"}, l.Handed())
	if handed := r.rules(); own.Answers != nil || handed.Answers == nil || handed.AnswersOnly {
		t.Errorf("answers %v of the lab's own program, %v of a submission, alone: %v", own.Answers, handed.Answers, handed.AnswersOnly)
	}
}

// Flags that do not go together, and names that the lab does not have, are mistakes of
// usage that are found before anything is run.
func TestCheck(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	handed := submission.Refused("eve", &submission.Problem{Part: submission.PartAll, Message: "too large"}, l.Handed())
	for _, c := range []struct {
		name   string
		change func(*Session)
		want   string // "" is no error
	}{
		{"nothing", func(*Session) {}, ""},
		{"a point", func(s *Session) { s.At = "copy_thread" }, ""},
		{"a stop from the end", func(s *Session) { s.Rewind = 2 }, ""},
		{"a submission", func(s *Session) { s.Submission, s.Format = handed, report.FormatJSON }, ""},
		{"both ways back", func(s *Session) { s.At, s.Rewind = "copy_thread", 1 }, "two ways to name a stop"},
		{"back in JSON", func(s *Session) { s.Rewind, s.Format = 1, report.FormatJSON }, "as text, not as json"},
		{"back in a submission", func(s *Session) { s.Rewind, s.Submission = 1, handed }, "leave out --submission"},
		{"no such point", func(s *Session) { s.At = "copy_thred" }, "did you mean copy_thread"},
		{"no such architecture", func(s *Session) { s.At, s.Kernels.Arch = "copy_thread", "arm" }, "unknown architecture"},
		{"seeds", func(s *Session) { s.Seeds, s.Format = 3, report.FormatJSON }, ""},
		{"seeds of a submission", func(s *Session) { s.Seeds, s.Submission = 3, handed }, "--seeds runs the lab's own program"},
		{"seeds, and back", func(s *Session) { s.Seeds, s.Rewind = 3, 1 }, "--seeds runs the lab's own program"},
		{"seeds with files", func(s *Session) { s.Seeds, s.Out = 3, "out" }, "keeps no files"},
		{"seeds in KTAP", func(s *Session) { s.Seeds, s.Format = 3, report.FormatKTAP }, "unknown format of --seeds"},
		{"a variation", func(s *Session) { s.WhatIf = l.WhatIfs[0].Name }, ""},
		{"no such variation", func(s *Session) { s.WhatIf = "nothing" }, "unknown variation"},
		{"a variation of a submission", func(s *Session) { s.WhatIf, s.Submission = l.WhatIfs[0].Name, handed }, "--what-if compares two runs"},
		{"a variation with seeds", func(s *Session) { s.WhatIf, s.Seeds = l.WhatIfs[0].Name, 3 }, "--what-if compares two runs"},
		{"a variation in KTAP", func(s *Session) { s.WhatIf, s.Format = l.WhatIfs[0].Name, report.FormatKTAP }, "unknown format of --what-if"},
		{"no such check to hide", func(s *Session) { s.Show.Hidden = []string{"nothing"} }, `no check or question "nothing" to hide`},
	} {
		s := Session{Lab: l, Kernels: prepare.Kernels{Arch: "all"}, Format: report.FormatText}
		c.change(&s)
		err := s.Check()
		if (err != nil) != (c.want != "") || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// When the kernels cannot be had, a program that reads the document gets one that says
// so; a person, whose mistake it is or who interrupted it, gets the error alone.
func TestUngraded(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the mirror does not answer")
	for _, c := range []struct {
		format string
		err    error
		want   bool
	}{
		{report.FormatJSON, broken, true},
		{report.FormatText, broken, false},
		{report.FormatJSON, usage.Wrap(broken), false},
		{report.FormatJSON, fmt.Errorf("fetch: %w", context.Canceled), false},
	} {
		var out strings.Builder
		if err := (Session{Lab: l, Format: c.format}).ungraded(&out, c.err); err != nil {
			t.Fatal(err)
		}
		if (out.Len() > 0) != c.want {
			t.Errorf("%s, %v: %q", c.format, c.err, out.String())
		}
		if !c.want {
			continue
		}
		var doc verdict.Document
		if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
			t.Fatal(err)
		}
		if r := doc.Results[0]; doc.ExitCode() != verdict.ExitError || r.Error != broken.Error() || r.Arch != "" || len(r.Checks) == 0 {
			t.Errorf("the result is %+v", r)
		}
	}
}

// The document of a submission has what the student may see, except in JSON.
func TestReport(t *testing.T) {
	doc := verdict.NewDocument(verdict.Result{Lab: "fork-new", Verdict: verdict.Fail, Checks: []verdict.Check{
		{Name: "secret", Verdict: verdict.Fail, Visibility: verdict.Hidden, Expected: "forty-two"},
	}})
	handed := &submission.Submission{}
	for _, c := range []struct {
		format string
		handed *submission.Submission
		shown  bool
	}{
		{report.FormatJSON, handed, true},
		{report.FormatJUnit, nil, true},
		{report.FormatJUnit, handed, false},
		{report.FormatKTAP, handed, false},
	} {
		var out strings.Builder
		if err := (Session{Format: c.format, Submission: c.handed}).report(&out, doc); err != nil {
			t.Fatal(err)
		}
		if out.Len() == 0 || strings.Contains(out.String(), "forty-two") != c.shown {
			t.Errorf("%s, submission %v: shown should be %v:\n%s", c.format, c.handed != nil, c.shown, out.String())
		}
	}
	var out strings.Builder
	if err := (Session{Format: report.FormatText}).report(&out, doc); err != nil || out.Len() > 0 {
		t.Errorf("text, which was written before: %q, %v", out.String(), err)
	}
}
