package report

import (
	"io"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Run collects the steps of a run while it happens, and writes its page for a person
// when it has ended. Unlike the verdict document, the page has the stops that are
// evidence and no step of the path.
type Run struct {
	page     *page
	rules    grade.Rules
	follower *grade.Follower
	header   trace.Header
	steps    []verdict.Step
	student  bool
	short    bool
	veil     redact.Veil
}

// NewRun returns a Run that is graded by r.
func NewRun(w io.Writer, r grade.Rules, s Style) *Run {
	p := newPage(w, s)
	p.hint = !s.Verbose && len(s.Steps) == 0
	return &Run{page: p, rules: r, follower: grade.NewFollower(trace.Header{}, r)}
}

// Student hides what students may not see.
func (r *Run) Student() { r.student = true }

// Short has the page be one line, followed by what went wrong.
func (r *Run) Short() { r.short = true }

// Kernel begins the run, and forgets the steps of one that was tried before.
func (r *Run) Kernel(h trace.Header) {
	r.header, r.steps = h, nil
	r.follower = grade.NewFollower(h, r.rules)
	r.veil = redact.NewVeil(r.rules.Unseen(h))
}

// Event takes an event, and keeps it if it is a step or evidence.
func (r *Run) Event(e trace.Event) {
	s, ok := r.follower.Step(e)
	if !ok || r.student && !s.Visibility.Always() {
		return
	}
	if r.student {
		s = r.veil.Step(s)
	}
	r.steps = append(r.steps, words.Step(s))
}

// Result writes the page.
func (r *Run) Result(res verdict.Result) error {
	if r.student {
		res = redact.Shown(verdict.NewDocument(res), verdict.Visible).Results[0]
	}
	res = words.Result(res)
	if r.short {
		r.page.brief(res)
	} else {
		r.page.result(res, r.steps)
	}
	return r.page.err
}

// Unfinished writes the steps of a run that has no verdict, if there are any.
func (r *Run) Unfinished() error {
	if len(r.steps) > 0 && !r.short {
		r.page.heading(verdict.Result{Lab: r.rules.Lab, Title: r.rules.Title, Summary: r.rules.Summary})
		r.page.steps(r.steps)
		r.page.details(r.header.Arch, r.steps)
	}
	return r.page.err
}
