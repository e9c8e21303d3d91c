package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/prepare"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/images"
	"kernellab/internal/progress"
)

// feedbackFile is what the student is to read of a graded submission.
const feedbackFile = "feedback.md"

// compiler makes the compiler of submissions once.
func (a *app) compiler(ctx context.Context) func() (*images.Compiler, error) {
	return sync.OnceValues(func() (*images.Compiler, error) { return a.cache.Compiler(ctx) })
}

// runSubmitted is runOne with a submission.
func (a *app) runSubmitted(ctx context.Context, f runFlags, job harness.Job, p *progress.Log) (grade.Result, error) {
	job.Rules.Hide = f.show.Hidden
	s := prepare.Submitted(f.submitted, job, f.compiler, p.Report)
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
		show(report.Text(a.stdout, redact.Shown(grade.NewDocument(out.Result), grade.Visible), a.style()))
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
