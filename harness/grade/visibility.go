package grade

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// Visibility says when students see a check, a point or a question, in Gradescope's
// words. The zero value is what the lab says nothing about, and is seen.
type Visibility string

// The visibilities.
const (
	Visible        Visibility = "visible"
	Hidden         Visibility = "hidden"
	AfterDueDate   Visibility = "after_due_date"
	AfterPublished Visibility = "after_published"
)

// Visibilities returns all of them, the default first.
func Visibilities() []string {
	return []string{string(Visible), string(Hidden), string(AfterDueDate), string(AfterPublished)}
}

// Always reports whether students see it at all times.
func (v Visibility) Always() bool { return v.within(Visible) }

// within reports whether what has visibility v is seen with what has visibility at.
func (v Visibility) within(at Visibility) bool { return v == "" || v == Visible || v == at }

// stricter returns the one of two that lets less be seen.
func stricter(a, b Visibility) Visibility {
	order := []Visibility{"", Visible, AfterDueDate, AfterPublished, Hidden}
	if slices.Index(order, a) < slices.Index(order, b) {
		return b
	}
	return a
}

// visibility is that of a check or question that says own, and is at a point.
func (r Rules) visibility(name string, own Visibility, at string) Visibility {
	if slices.Contains(r.Hide, name) {
		return Hidden
	}
	if own != "" {
		return own
	}
	p, _ := r.point(at)
	return p.Visibility
}

// CheckNames returns the names of all checks and questions.
func (r Rules) CheckNames() []string {
	r.Answers, r.AnswersOnly = Answers{}, false
	var names []string
	for _, c := range newResult(r).Checks {
		names = append(names, c.Name)
	}
	return names
}

// Unseen is a name that students are not told, and when they are.
type Unseen struct {
	Name       string     `json:"name"`
	Visibility Visibility `json:"visibility"`
}

// unseen are the points that are not always seen; symbol tells what a point is on
// this kernel, "" when that is not known.
func (r Rules) unseen(symbol func(point string) string) []Unseen {
	var out []Unseen
	for _, p := range r.Points {
		if p.Visibility.within("") {
			continue
		}
		out = append(out, Unseen{p.Name, p.Visibility})
		if s := symbol(p.Name); s != "" && s != p.Name {
			out = append(out, Unseen{s, p.Visibility})
		}
	}
	return out
}

// Hide returns d with the checks of those names hidden, and the findings that name
// them.
func (d Document) Hide(names ...string) Document {
	if len(names) == 0 {
		return d
	}
	d.Results = slices.Clone(d.Results)
	for i, r := range d.Results {
		d.Results[i].Checks = slices.Clone(r.Checks)
		for j, c := range r.Checks {
			if slices.Contains(names, c.Name) {
				d.Results[i].Checks[j].Visibility = Hidden
			}
		}
		d.Results[i].Findings = slices.Clone(r.Findings)
		for j, f := range r.Findings {
			if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(f.Message, name) }) {
				d.Results[i].Findings[j].Visibility = Hidden
			}
		}
	}
	return d
}

// Shown returns what a student sees of d when what has the visibility at shows; ""
// is what always does. What is not seen is left out, of the score too, and is
// nowhere named; a note says that there is more.
func (d Document) Shown(at Visibility) Document {
	out := Document{Schema: d.Schema}
	for _, r := range d.Results {
		out.Results = append(out.Results, r.shown(at))
	}
	return out
}

func (res Result) shown(at Visibility) Result {
	v := Veil{answers: res.Secret}
	own := Veil{answers: slices.Concat(res.Secret, res.Plain)} // over the lab's own words
	for _, u := range res.Unseen {
		if !u.Visibility.within(at) {
			v.names = append(v.names, u.Name)
		}
	}
	out := res
	out.Secret, out.Plain = nil, nil
	out.Unseen, out.Checks, out.Steps, out.Findings, out.Notes = nil, []Check{}, []Step{}, []Finding{}, nil
	out.Score, out.MaxScore = 0, 0
	pass := true
	for _, c := range res.Checks {
		if !c.Visibility.within(at) {
			v.names = append(v.names, c.Name)
			out.Withheld++
			continue
		}
		out.Checks = append(out.Checks, c)
		out.Score, out.MaxScore = out.Score+c.Score, out.MaxScore+c.MaxScore
		pass = pass && c.Verdict == Pass
	}
	if out.Withheld == 0 && len(v.names) == 0 && len(own.answers) == 0 && len(res.Ordered) == 0 {
		return res
	}
	inOrder := []string{}
	for _, c := range res.Checks[:min(indexValues, len(res.Checks))] {
		if c.Kind == "" && len(res.Ordered) > 0 {
			inOrder = append(inOrder, c.Name)
		}
	}
	for i, c := range out.Checks {
		if c.Kind == KindQuestion {
			continue // what may be answered is in the template
		}
		if slices.Contains(inOrder, c.Name) {
			c.Expected, c.Observed = unordered(c.Expected), unordered(c.Observed)
		}
		out.Checks[i].Name, out.Checks[i].Why = own.Text(v.Text(c.Name)), own.Text(v.Text(c.Why))
		out.Checks[i].Expected, out.Checks[i].Observed = v.Text(c.Expected), v.Text(c.Observed)
	}
	out.Lifetime = slices.Clone(res.Lifetime)
	number := make([]int, len(res.Steps)+1) // a step's, by the one it had
	for i, s := range res.Steps {
		if !s.Visibility.within(at) {
			if j := slices.Index(out.Lifetime, s.Lifetime); j >= 0 {
				out.Lifetime = slices.Delete(out.Lifetime, j, j+1)
			}
			continue
		}
		if slices.Contains(res.Plain, s.Comm) {
			s.Comm = ""
		}
		out.Steps = append(out.Steps, v.Step(s))
		number[i+1] = len(out.Steps)
	}
	for _, f := range res.Findings {
		if !f.Visibility.within(at) {
			continue
		}
		if f.Point = v.point(f.Point); f.Kind != FindAnswer && f.Kind != FindSubmission {
			for _, c := range res.Checks {
				f.Message = strings.ReplaceAll(f.Message, c.Name, own.Text(v.Text(c.Name)))
			}
			f.Message = v.Text(f.Message)
		}
		if f.Step < len(number) {
			f.Step = number[f.Step]
		}
		out.Findings = append(out.Findings, f)
	}
	for _, n := range res.Notes {
		out.Notes = append(out.Notes, v.Text(n))
	}
	switch {
	case res.Verdict == Error:
		out.Score, out.Error = 0, v.Text(res.Error)
	case pass && len(out.Findings) == 0:
		out.Verdict = Pass
	default:
		out.Verdict = Fail
	}
	if out.Withheld > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%s more, which counts and is not shown here.", plural(out.Withheld, "check", "checks")))
		if out.Withheld > 1 {
			out.Notes[len(out.Notes)-1] = fmt.Sprintf("%d checks more, which count and are not shown here.", out.Withheld)
		}
	}
	return out
}

// unordered is a listing of points that does not tell their order: of the paths of
// tasks nothing is left, and counts are in alphabetical order.
func unordered(s string) string {
	if strings.Contains(s, "→") {
		return withheld
	}
	parts := strings.Split(s, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// Veil takes names that are not to be seen, and answers to questions, out of texts.
type Veil struct{ names, answers []string }

// NewVeil returns the veil over the points of r that students do not always see, for
// a run with that header.
func NewVeil(r Rules, h trace.Header) Veil {
	var v Veil
	for _, u := range r.unseen((&view{trace: &trace.Trace{Header: h}}).symbolOf) {
		v.names = append(v.names, u.Name)
	}
	return v
}

// unnamed stands for a name that is not told.
const unnamed = "(not shown)"

// Text returns s without the names.
func (v Veil) Text(s string) string {
	for _, name := range v.names {
		s = without(s, name, unnamed)
	}
	for _, answer := range v.answers {
		s = without(s, answer, withheld)
	}
	return s
}

// without is s with an other text where name is a word of its own.
func without(s, name, other string) string {
	for from := 0; name != ""; {
		i := strings.Index(s[from:], name)
		if i < 0 {
			break
		}
		i += from
		end := i + len(name)
		if wordAt(s[:i], true) || wordAt(s[end:], false) {
			from = end // a part of another word
			continue
		}
		s = s[:i] + other + s[end:]
		from = i + len(other)
	}
	return s
}

// wordAt reports whether s ends, or begins, in the middle of a word.
func wordAt(s string, end bool) bool {
	if s == "" {
		return false
	}
	c := s[0]
	if end {
		c = s[len(s)-1]
	}
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

func (v Veil) point(name string) string {
	if slices.Contains(v.names, name) || slices.Contains(v.answers, name) {
		return ""
	}
	return name
}

// Step returns s without the names.
func (v Veil) Step(s Step) Step {
	if len(v.names)+len(v.answers) == 0 {
		return s
	}
	s.Point = v.Text(s.Point)
	s.Means, s.Why, s.Lifetime = v.Text(s.Means), v.Text(s.Why), v.Text(s.Lifetime)
	s.Values, s.Stack, s.Stacks = slices.Clone(s.Values), slices.Clone(s.Stack), nil
	for i := range s.Values {
		s.Values[i].Text = v.Text(s.Values[i].Text)
	}
	for i := range s.Stack {
		s.Stack[i] = v.Text(s.Stack[i])
	}
	return s
}
