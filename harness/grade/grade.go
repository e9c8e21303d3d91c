// Package grade judges a trace by the rules of a lab and returns a result of a verdict
// document, as data: harness/report/words writes the sentences. It is pure: the same trace and rules give the same
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
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Grade judges t by r. The result is complete in every case: what could not be
// graded is a result with verdict Error.
func Grade(t *trace.Trace, r Rules) verdict.Result { return marked(grade(t, nil, r, nil)) }

// grade is Grade with the findings about what was handed in, and with a run of
// the lab's own program for the answers that t does not settle.
func grade(t *trace.Trace, reference *view, r Rules, handed []verdict.Finding) (verdict.Result, secrets) {
	whole := r
	if t != nil {
		r = r.here(t)
	}
	res := newResult(r)
	if t == nil {
		return failed(res, "there is no trace"), secrets{}
	}
	res.Remarks = append(res.Remarks, r.notes...)
	res.Unseen = r.unseen((&view{trace: t}).symbolOf)
	res.Kernel, res.QEMU = t.Header.Kernel.Release, t.Header.Machine.QEMU
	if t.Header.Arch != "" {
		res.Arch = t.Header.Arch
	}
	v, err := newView(t, whole)
	if v != nil {
		res.Steps, res.Evidence = v.steps()
		res.Lifetime, res.Moments = v.lifetime()
		res.Duration = v.duration()
		res.Remarks = append(res.Remarks, v.notes...)
	}
	var unfit *ungradable
	switch {
	case errors.As(err, &unfit):
		return ungraded(res, unfit.Fact), secrets{}
	case err != nil:
		return failed(res, "%v", err), secrets{}
	}
	g := &grader{view: v, result: &res}
	for _, f := range handed {
		g.findings = append(g.findings, placed{Finding: f})
	}
	// Findings of the same place come in this order, causes first.
	g.status()
	g.path()
	if !r.AnswersOnly {
		g.values()
	}
	g.output()
	g.group()
	g.answers(reference)
	s := g.finish()
	return res, s
}

// Failure is the result of a run that could not be driven or graded, whose cause
// is err: never the student's mistake.
func Failure(r Rules, kernel string, err error) verdict.Result {
	res := newResult(r)
	res.Kernel = kernel
	if err == nil {
		err = errors.New("unknown cause")
	}
	return marked(failed(res, "%v", err), secrets{})
}

// newResult has every check of the rules, none of them made yet.
func newResult(r Rules) verdict.Result {
	res := verdict.Result{
		Lab: r.Lab, Title: r.Title, Summary: r.Summary, Arch: r.Arch, Verdict: verdict.Error,
		Steps: []verdict.Step{}, Checks: []verdict.Check{}, Findings: []verdict.Finding{},
		Unseen: r.unseen(func(string) string { return "" }),
	}
	add := func(c verdict.Check) {
		c.Verdict = verdict.Skip
		res.Checks = append(res.Checks, c)
		res.MaxScore += c.MaxScore
	}
	of := func(own int, c verdict.Check) {
		c.MaxScore, c.Group = r.mark(own)
		add(c)
	}
	if !r.AnswersOnly {
		if r.Marks.Call > 0 {
			add(verdict.Check{Name: GroupName, Kind: verdict.KindGroup, MaxScore: r.Marks.Call, Visibility: r.visibility(GroupName, "", "")})
		}
		for _, s := range []Scored{r.sequence(), r.hits()} {
			of(s.Score, verdict.Check{Name: s.Name, Visibility: r.visibility(s.Name, s.Visibility, "")})
		}
		for _, c := range r.Checks {
			of(c.Score, verdict.Check{Name: c.Name, Why: c.Why, Asked: r.askedBy(c), Visibility: r.visibility(c.Name, c.Visibility, c.At)})
		}
		for _, s := range []Scored{{Name: r.output(), Score: r.Marks.Output}, {Name: checkExit, Score: r.Marks.Exit}} {
			add(verdict.Check{Name: s.Name, MaxScore: max(s.Score, 1), Visibility: r.visibility(s.Name, r.ProgramVisibility, "")})
		}
	}
	for _, c := range r.questionChecks() {
		res.Checks = append(res.Checks, c)
		res.MaxScore += c.MaxScore
	}
	return res
}

// failed is a result that could not be graded, for a cause outside the trace.
func failed(res verdict.Result, format string, args ...any) verdict.Result {
	res = ungraded(res)
	res.Error = fmt.Sprintf(format, args...)
	return res
}

// ungraded is a result that could not be graded, for those causes.
func ungraded(res verdict.Result, causes ...verdict.Fact) verdict.Result {
	res.Verdict, res.Score, res.Causes = verdict.Error, 0, causes
	for i := range res.Checks {
		c := &res.Checks[i]
		c.Verdict, c.Score = verdict.Skip, 0
		if c.Observed == "" && c.Got == nil {
			c.Got = &verdict.Fact{Case: verdict.CaseNotGraded}
		}
	}
	return res
}

// grader fills in the checks of a result.
type grader struct {
	*view
	result   *verdict.Result
	findings []placed
	// unmade are the checks whose evidence the harness did not bring, though the
	// guest was stopped where it lay: not the student's mistake.
	unmade []verdict.Fact
	// ours are the questions whose truth the harness did not bring.
	ours []verdict.Fact
	// absent: no program was run, or none that counts.
	absent bool
	truths []known
	about  verdict.Visibility // of the check that is being made
}

// placed is a finding and the place in the trace where it showed.
type placed struct {
	seq int
	verdict.Finding
	follows bool // from another finding
}

// check returns the check of that name that is no question.
func (g *grader) check(name string) *verdict.Check {
	return g.checkOf(func(c verdict.Check) bool { return c.Kind == "" && c.Name == name })
}

// answerTo returns the check of a question.
func (g *grader) answerTo(name string) *verdict.Check {
	return g.checkOf(func(c verdict.Check) bool { return c.Kind == verdict.KindQuestion && c.Name == name })
}

func (g *grader) checkOf(is func(verdict.Check) bool) *verdict.Check {
	return &g.result.Checks[slices.IndexFunc(g.result.Checks, is)]
}

// on is check of the one that is made next, whose findings are seen when it is.
func (g *grader) on(name string) *verdict.Check {
	c := g.check(name)
	g.about = c.Visibility
	return c
}

// find adds a finding at the event seq of the trace.
func (g *grader) find(seq int, kind string, about verdict.Fact) {
	p, _ := g.rules.point(about.Point)
	f := verdict.Finding{Kind: kind, Fact: about, Visibility: verdict.Stricter(g.about, p.Visibility)}
	for i, s := range g.result.Steps {
		if s.Seq == seq {
			f.Step = i + 1
		}
	}
	g.findings = append(g.findings, placed{seq, f, kind != verdict.FindEdge && g.follows(about.Point)})
}

// group settles the check that is a group, after those that count in it.
func (g *grader) group() {
	i := slices.IndexFunc(g.result.Checks, func(c verdict.Check) bool { return c.Kind == verdict.KindGroup })
	if i < 0 {
		return
	}
	c, failed := &g.result.Checks[i], false
	want := verdict.Fact{Case: verdict.CaseMembers}
	got := want
	for _, m := range g.result.Checks {
		if m.Group != c.Name {
			continue
		}
		want.Times++
		if m.Verdict != verdict.Pass {
			got.Checks = append(got.Checks, m.Name)
		}
		failed = failed || m.Verdict == verdict.Fail
	}
	got.Times = want.Times
	c.Want, c.Got = &want, &got
	settle(c, want.Times > 0 && len(got.Checks) == 0)
	if c.Verdict == verdict.Fail && !failed {
		c.Verdict = verdict.Skip
	}
}

// settle gives a check its verdict and score.
func settle(c *verdict.Check, ok bool) {
	c.Verdict, c.Score = verdict.Fail, 0
	if ok {
		c.Verdict, c.Score = verdict.Pass, c.MaxScore
	}
}
