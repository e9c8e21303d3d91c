// Package grade judges a trace by the rules of a lab and returns a verdict,
// document lab.verdict/1. It is pure: the same trace and rules give the same
// verdict on any machine, and nothing here knows of QEMU or of a live guest.
//
// Nothing passes by default. A trace that does not show the whole run can not be
// graded and is an error; a check whose evidence is not in the trace is skipped,
// scores nothing, and keeps the result from passing.
//
// Order is graded as a partial order, because with several CPUs the child's
// stops interleave freely with its parent's: each role's own points come in the
// order of the rules, and an edge holds between tasks only where one is stated.
package grade

import (
	"cmp"
	"errors"
	"fmt"

	"kernellab/harness/trace"
)

// Grade judges t by r. The result is complete in every case: what could not be
// graded is a result with verdict Error.
func Grade(t *trace.Trace, r Rules) Result { return grade(t, nil, r, nil) }

// grade is Grade with the findings about what was handed in, and with a run of
// the lab's own program for the answers that t does not settle.
func grade(t *trace.Trace, reference *view, r Rules, handed []Finding) Result {
	r.Programs = cmp.Or(r.Programs, &Programs{})
	whole := r
	if t != nil {
		r = r.here(t)
	}
	res := newResult(r)
	if t == nil {
		return res.errorf("there is no trace")
	}
	res.Notes = append(res.Notes, r.notes...)
	res.Unseen = r.unseen((&view{trace: t}).symbolOf)
	res.Kernel, res.QEMU = t.Header.Kernel.Release, t.Header.Machine.QEMU
	if t.Header.Arch != "" {
		res.Arch = t.Header.Arch
	}
	v, err := newView(t, whole)
	if v != nil {
		res.Steps = v.steps()
		res.Lifetime = v.lifetime()
		res.Duration = v.duration()
		res.Notes = append(res.Notes, v.notes...)
	}
	if err != nil {
		return res.errorf("%v", err)
	}
	g := &grader{view: v, result: &res}
	for _, f := range handed {
		g.findings = append(g.findings, placed{Finding: f})
	}
	// Findings of the same place are told in this order, causes first.
	n := len(res.Checks) - len(r.questionChecks())
	g.status(g.on(n - 1))
	g.path()
	g.values()
	g.output(g.on(n - 2))
	g.answers(reference)
	g.finish()
	return res
}

// Failure is the result of a run that could not be driven or graded, whose cause
// is err: never the student's mistake.
func Failure(r Rules, kernel string, err error) Result {
	res := newResult(r)
	res.Kernel = kernel
	if err == nil {
		err = errors.New("unknown cause")
	}
	return res.errorf("%v", err)
}

// newResult has every check of the rules, none of them made yet.
func newResult(r Rules) Result {
	res := Result{
		Lab: r.Lab, Title: r.Title, Summary: r.Summary, Arch: r.Arch, Verdict: Error,
		Steps: []Step{}, Checks: []Check{}, Findings: []Finding{},
	}
	add := func(name string, score int, why string, v Visibility) {
		res.Checks = append(res.Checks, Check{Name: name, Verdict: Skip, MaxScore: score, Why: why, Visibility: v})
		res.MaxScore += score
	}
	if !r.AnswersOnly {
		for _, s := range []Scored{r.sequence(), r.hits()} {
			add(s.Name, s.Score, "", r.visibility(s.Name, s.Visibility, ""))
		}
		for _, c := range r.Checks {
			add(c.Name, c.score(), c.Why, r.visibility(c.Name, c.Visibility, c.At))
		}
		for _, name := range []string{checkOutput, checkExit} {
			add(name, 1, "", r.visibility(name, r.ProgramVisibility, ""))
		}
	}
	for _, c := range r.questionChecks() {
		res.Checks = append(res.Checks, c)
		res.MaxScore += c.MaxScore
	}
	return res
}

func (res Result) errorf(format string, args ...any) Result {
	res.Verdict, res.Score = Error, 0
	res.Error = fmt.Sprintf(format, args...)
	for i := range res.Checks {
		res.Checks[i].Verdict, res.Checks[i].Score = Skip, 0
		if res.Checks[i].Observed == "" {
			res.Checks[i].Observed = "not graded"
		}
	}
	return res
}

// grader fills in the checks of a result.
type grader struct {
	*view
	result   *Result
	findings []placed
	// unmade are the checks whose evidence the harness did not bring, though the
	// guest was stopped where it lay: not the student's mistake.
	unmade []string
	// ours are the questions whose truth the harness did not bring.
	ours []string
	// absent: no program was run, or none that counts.
	absent bool
	truths []known
	about  Visibility // of the check that is being made
}

// placed is a finding and the place in the trace where it showed.
type placed struct {
	seq int
	Finding
	follows bool // from what another finding tells
}

// check returns the check at index i of the result's: sequence, hits, the rules'
// own, output, exit.
func (g *grader) check(i int) *Check { return &g.result.Checks[i] }

// on is check of the one that is made next, whose findings are seen when it is.
func (g *grader) on(i int) *Check {
	c := g.check(i)
	g.about = c.Visibility
	return c
}

func (g *grader) find(seq int, kind, point, message string, args ...any) {
	p, _ := g.rules.point(point)
	f := Finding{Kind: kind, Point: point, Message: fmt.Sprintf(message, args...), Visibility: stricter(g.about, p.Visibility)}
	for i, s := range g.result.Steps {
		if s.Seq == seq {
			f.Step = i + 1
		}
	}
	g.findings = append(g.findings, placed{seq, f, kind != FindEdge && g.follows(point)})
}

// settle gives a check its verdict and score.
func settle(c *Check, ok bool) {
	c.Verdict, c.Score = Fail, 0
	if ok {
		c.Verdict, c.Score = Pass, c.MaxScore
	}
}
