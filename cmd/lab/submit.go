package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/labs"
)

// feedbackFile is what the student is to read of a graded submission.
const feedbackFile = "feedback.md"

// readSubmission reads what was handed in for a lab.
func readSubmission(ctx context.Context, l labs.Lab, path string) (*submission.Submission, error) {
	if !l.Takes() {
		return nil, usagef("%s takes no submissions: its lab.yaml has no \"submission\"", l.Name)
	}
	s, err := submission.Read(ctx, path, l.Handed())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("no submission at %s: lab init %s DIR begins one", path, l.Name)
	}
	return s, err
}

// submitted is the run of a submission in the place of the lab's own program.
// compiler is called when there is something to compile.
func (a *app) submitted(s *submission.Submission, own harness.Job, compiler func() (*images.Compiler, error), p images.Progress) harness.Submitted {
	return harness.Submitted{
		Submission: s,
		Own:        own,
		Compile: func(ctx context.Context, program submission.Program) (path, fault string, err error) {
			c, err := compiler()
			if err != nil {
				return "", "", err
			}
			path, err = c.Build(ctx, own.Machine.Arch.GOARCH, own.ProgramName, program.FS(), p)
			var ce *images.CompileError
			if errors.As(err, &ce) {
				return "", ce.Text, nil
			}
			return path, "", err
		},
	}
}

// compiler makes the compiler of submissions once.
func (a *app) compiler(ctx context.Context) func() (*images.Compiler, error) {
	return sync.OnceValues(func() (*images.Compiler, error) { return a.cache.Compiler(ctx) })
}

// runSubmitted is runOne with a submission.
func (a *app) runSubmitted(ctx context.Context, f runFlags, job harness.Job, p *progress) (grade.Result, error) {
	job.Rules.Hide = f.show.Hidden
	s := a.submitted(f.submitted, job, f.compiler, p.Report)
	rules := s.Rules()
	if f.format != report.FormatText {
		out, err := s.Run(ctx)
		if err != nil {
			return grade.Result{}, err
		}
		return out.Result, nil
	}
	live := report.NewLive(a.stdout, rules, a.style())
	live.Student()
	began := false
	var written error
	show := func(err error) { written = errors.Join(written, err) }
	s.Own.Began = func(h trace.Header, _ *machine.Machine) {
		began = true
		show(live.Kernel(h))
	}
	s.Own.Event = func(e trace.Event) { show(live.Event(e)) }
	out, err := s.Run(ctx)
	p.Done()
	if err != nil {
		return grade.Result{}, err
	}
	if began {
		show(live.Result(out.Result))
	} else {
		show(report.Text(a.stdout, grade.NewDocument(out.Result).Shown(grade.Visible), a.style()))
	}
	if written != nil {
		return out.Result, fmt.Errorf("write the report: %w", written)
	}
	return out.Result, nil
}

// writeFeedback leaves what the student is to read beside the verdict.
func writeFeedback(dir string, doc grade.Document, rules grade.Rules) error {
	return os.WriteFile(filepath.Join(dir, feedbackFile), []byte(report.Feedback(doc, rules)), 0o644)
}
