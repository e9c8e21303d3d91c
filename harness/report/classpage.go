package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"kernellab/harness/redact"
	"kernellab/harness/report/view"
	"kernellab/harness/verdict"
)

// StudentPage writes a result for the student as a page for a browser. It contains only
// what Feedback does: of the stops the steps of the path, without what was read there, and
// no step while a question asks for their order.
func StudentPage(w io.Writer, student string, doc verdict.Document) error {
	doc = redact.Shown(doc, verdict.Visible)
	for i := range doc.Results {
		r := &doc.Results[i]
		r.Evidence, r.Lifetime, r.Moments = nil, nil, nil
		if len(r.Ordered) > 0 {
			r.Steps = nil
		}
		r.Steps = slices.Clone(r.Steps)
		for j := range r.Steps {
			s := &r.Steps[j]
			s.Values, s.Raw, s.Stacks, s.Stack, s.Sources, s.Lifetime = nil, nil, nil, nil, nil, ""
		}
	}
	return view.WriteStudent(w, doc, student)
}

// ClassPage writes the page of a class for its instructor. file returns the file with a
// student's page in folder view.StudentsFolder, "" for none.
func ClassPage(w io.Writer, c Class, file func(student string) string) error {
	c = c.written()
	s := c.Summary()
	p := view.Class{Lab: s.Lab, LabTitle: c.Book().Title, Headline: s.headline(), Part: c.Part}
	if s.Scores != nil {
		p.Scores = fmt.Sprintf("Mean %.1f, median %.1f, from %d to %d, of %d points.", s.Scores.Mean, s.Scores.Median, s.Scores.Min, s.Scores.Max, s.MaxScore)
	}
	for _, b := range s.Distribution {
		p.Bars = append(p.Bars, view.Bar{From: b.From, To: b.To, Students: b.Students})
	}
	for _, q := range s.Questions {
		if q.Graded > 0 && q.Right == q.Graded {
			p.Easy = append(p.Easy, q.Name)
			continue
		}
		p.Questions = append(p.Questions, q.page())
	}
	several := len(slices.Compact(slices.Sorted(archs(s.Checks)))) > 1
	for _, r := range s.Checks {
		if r.Graded > 0 && r.Passed < r.Graded && !s.isQuestion(r.Name) {
			name := column{arch: r.Arch, name: r.Name}.title(several)
			p.Checks = append(p.Checks, view.Rate{Name: name, Percent: r.Percent, Says: fmt.Sprintf("%d of %d", r.Passed, r.Graded)})
		}
	}
	for _, f := range s.Findings {
		p.Findings = append(p.Findings, view.Group{Text: f.Message, Students: f.Students})
	}
	for _, x := range s.Suspects {
		p.Suspects = append(p.Suspects, view.Group{Text: x.Message, Students: x.Students})
	}
	c.people(&p, file)
	return view.WriteClass(w, p)
}

// archs yields the architectures of checks.
func archs(checks []CheckRate) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, r := range checks {
			if !yield(r.Arch) {
				return
			}
		}
	}
}

// mostHelp limits the students who are listed as needing help.
const mostHelp = 30

// people adds the students to the page.
func (c Class) people(p *view.Class, file func(string) string) {
	type weak struct {
		view.Person
		share float64
	}
	var help []weak
	for _, g := range c.Students {
		is := view.Person{Name: plain(g.Student), File: file(g.Student), Verdict: string(g.Verdict())}
		score, of, graded := g.Score()
		if !graded {
			is.Verdict, is.Mark, is.Why = string(verdict.Error), "not graded", []string{g.Cause()}
			p.Ungraded = append(p.Ungraded, is)
			p.People = append(p.People, is)
			continue
		}
		is.Mark = fmt.Sprintf("%d of %d", score, of)
		p.People = append(p.People, is)
		if 2*score < of {
			is.Why = g.troubles()
			help = append(help, weak{is, percent(float64(score), float64(of))})
		}
	}
	slices.SortStableFunc(help, func(a, b weak) int { return cmp.Compare(a.share, b.share) })
	p.HelpMore = max(0, len(help)-mostHelp)
	for _, h := range help[:min(len(help), mostHelp)] {
		p.Help = append(p.Help, h.Person)
	}
}

// troubles says what went wrong first, and which questions are not answered right.
func (g Graded) troubles() (out []string) {
	if _, kind, text := firstFinding(g); text != "" && kind != verdict.FindAnswer {
		out = append(out, text)
	}
	var wrong []string
	for _, r := range g.Document.Results {
		for _, c := range r.Checks {
			if name := plain(c.Name); c.Kind == verdict.KindQuestion && c.Verdict == verdict.Fail && !slices.Contains(wrong, name) {
				wrong = append(wrong, name)
			}
		}
	}
	if len(wrong) > 0 {
		out = append(out, "Not answered right: "+strings.Join(wrong, ", ")+".")
	}
	return out
}

// page returns a question as the page shows it.
func (q QuestionRate) page() view.Question {
	out := view.Question{Name: q.Name, Prompt: q.Prompt, Headline: q.headline(), Percent: q.Percent, Known: q.Graded > 0}
	for _, a := range q.Wrong {
		out.Wrong = append(out.Wrong, view.Wrong{Text: shortened(a.Answer), Students: a.Students, Behind: a.Misconceptions})
	}
	if q.Type == verdict.TypeOrder || q.Type == verdict.TypeSet {
		for _, m := range q.Misconceptions {
			out.Misconception = append(out.Misconception, view.Wrong{Text: m.Text, Students: m.Students})
		}
	}
	if len(out.Misconception) > 0 { // which the table need not say again
		for i := range out.Wrong {
			out.Wrong[i].Behind = nil
		}
	}
	out.Others = q.unclear()
	return out
}
