package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
	"kernellab/harness/prepare"
	"kernellab/harness/submission"
	"kernellab/internal/progress"
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
		Host: prepare.Host{Progress: progress.New(&log)}, Lab: l, Out: filepath.Join(file, "out"), Quiet: true, AtOnce: 1,
		Explain: func(err error, _ string) { t.Errorf("explained: %v", err) },
	}
	if _, err := s.Run(t.Context(), &out, targets()); err == nil || !strings.Contains(err.Error(), "make the folder of --out") {
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
