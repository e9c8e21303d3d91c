package redact

import (
	"cmp"
	"slices"

	"kernellab/harness/verdict"
)

// Hide returns d with the checks of those names hidden, and the findings about them.
func Hide(d verdict.Document, names ...string) verdict.Document {
	if len(names) == 0 {
		return d
	}
	named := func(name string) bool { return slices.Contains(names, name) }
	d.Results = slices.Clone(d.Results)
	for i, r := range d.Results {
		d.Results[i].Checks = slices.Clone(r.Checks)
		for j, c := range r.Checks {
			if named(c.Name) {
				d.Results[i].Checks[j].Visibility = verdict.Hidden
			}
		}
		d.Results[i].Findings = slices.Clone(r.Findings)
		for j, f := range r.Findings {
			if named(f.Check) || slices.ContainsFunc(f.Checks, named) || slices.ContainsFunc(f.Questions, named) {
				d.Results[i].Findings[j].Visibility = verdict.Hidden
			}
		}
	}
	return d
}

// Shown returns what a student sees of d when what has the visibility at shows; ""
// is what always does. What is not seen is left out, of the score too, and is
// nowhere named; a note says that there is more. Shown reads no sentence and writes
// none: those of the result are to be written again.
func Shown(d verdict.Document, at verdict.Visibility) verdict.Document {
	out := verdict.Document{Schema: d.Schema}
	for _, r := range d.Results {
		out.Results = append(out.Results, shown(r, at))
	}
	return out
}

// ShownCheck returns a check of res as a student sees it when what has the visibility at
// shows.
func ShownCheck(res verdict.Result, c verdict.Check, at verdict.Visibility) verdict.Check {
	return newVeil(res, at).check(c)
}

func shown(res verdict.Result, at verdict.Visibility) verdict.Result {
	v := newVeil(res, at)
	out := res
	out.Unseen, out.Checks, out.Steps, out.Findings, out.Moments = nil, []verdict.Check{}, []verdict.Step{}, []verdict.Finding{}, nil
	out.Score, out.MaxScore, out.Notes, out.Lifetime = 0, 0, nil, nil
	pass := true
	for _, c := range res.Checks {
		if !c.Visibility.Within(at) {
			out.Withheld++
			continue
		}
		out.Checks = append(out.Checks, v.check(c))
		out.Score, out.MaxScore = out.Score+c.Score, out.MaxScore+c.MaxScore
		pass = pass && c.Verdict == verdict.Pass
	}
	for i, line := range res.Lifetime {
		if i >= len(res.Moments) {
			break // of whom it is, is not known
		}
		if m := res.Moments[i]; m.Visibility.Within(at) {
			out.Lifetime = append(out.Lifetime, v.text("text", line, m.Mentions))
			out.Moments = append(out.Moments, verdict.Moment{Point: v.name("", m.Point, nil)})
		}
	}
	number := make([]int, len(res.Steps)+1) // a step's, by the one it had
	for i, s := range res.Steps {
		if s.Visibility.Within(at) {
			out.Steps = append(out.Steps, v.step(s))
			number[i+1] = len(out.Steps)
		}
	}
	out.Evidence = nil
	for _, s := range res.Evidence {
		asked := slices.ContainsFunc(s.Mentions, func(m verdict.Mention) bool { return m.In == "task" && v.instead(m) != "" })
		if s.Visibility.Within(at) && !asked {
			out.Evidence = append(out.Evidence, v.step(s))
		}
	}
	for _, f := range res.Findings {
		if !f.Visibility.Within(at) {
			continue
		}
		f.Fact = v.fact(f.Fact)
		if f.Case != "" {
			f.Message = ""
		}
		if f.Step < len(number) {
			f.Step = number[f.Step]
		}
		out.Findings = append(out.Findings, f)
	}
	out.Remarks = v.facts(res.Remarks)
	out.Causes = v.facts(res.Causes)
	switch {
	case res.Verdict == verdict.Error:
		if out.Score = 0; len(out.Causes) > 0 {
			out.Error = ""
		}
	case pass && len(out.Findings) == 0:
		out.Verdict = verdict.Pass
	default:
		out.Verdict = verdict.Fail
	}
	if out.Withheld > 0 {
		out.Remarks = append(out.Remarks, verdict.Fact{Case: verdict.NoteWithheld, Times: out.Withheld})
	}
	return out
}

// Veil takes names that are not to be seen, and answers to questions, out of what
// shows. It goes by names and by the mentions that Mark noted.
type Veil struct {
	unseen  map[string]bool   // points, symbols, checks
	open    map[string]bool   // questions that are not answered rightly
	renamed map[string]string // checks whose name is not seen as it is
	ordered bool              // the order of points answers a question
}

func newVeil(res verdict.Result, at verdict.Visibility) Veil {
	v := Veil{unseen: map[string]bool{}, open: map[string]bool{}, renamed: map[string]string{}, ordered: len(res.Ordered) > 0}
	for _, u := range res.Unseen {
		if !u.Visibility.Within(at) {
			v.unseen[u.Name] = true
		}
	}
	for _, c := range res.Checks {
		if !c.Visibility.Within(at) {
			v.unseen[c.Name] = true
		}
		if c.Kind == verdict.KindQuestion && c.Verdict != verdict.Pass {
			v.open[c.Name] = true
		}
	}
	for _, c := range res.Checks {
		if c.Kind != verdict.KindQuestion {
			v.renamed[c.Name] = v.text("name", c.Name, c.Mentions)
		}
	}
	return v
}

// NewVeil returns the veil over names that students do not always see.
func NewVeil(names []verdict.Unseen) Veil {
	v := Veil{unseen: map[string]bool{}}
	for _, u := range names {
		v.unseen[u.Name] = true
	}
	return v
}

// Step returns a step that has just come, without the names.
func (v Veil) Step(s verdict.Step) verdict.Step {
	m := marker{}
	for name := range v.unseen {
		m.names = append(m.names, name)
	}
	s.Mentions = nil
	m.step(&s)
	return v.step(s)
}

// instead is what stands in the place of a mention, "" for what is seen.
func (v Veil) instead(m verdict.Mention) string {
	switch {
	case v.unseen[m.Name]:
		return verdict.Unnamed
	case v.open[m.Question], m.Always:
		return verdict.Withheld
	}
	return ""
}

// name returns what is seen of a name that is the field in.
func (v Veil) name(in, name string, mentions []verdict.Mention) string {
	if v.unseen[name] {
		return verdict.Unnamed
	}
	for _, m := range mentions {
		if other := v.instead(m); m.In == in && other != "" {
			return other
		}
	}
	return name
}

// text returns what is seen of a text that is the field in.
func (v Veil) text(in, text string, mentions []verdict.Mention) string {
	type span struct {
		from, to int
		other    string
	}
	var spans []span
	for _, m := range mentions {
		if other := v.instead(m); m.In == in && other != "" {
			spans = append(spans, span{m.From, m.To, other})
		}
	}
	if len(spans) == 0 {
		return text
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	letters := []rune(text)
	var out []rune
	at := 0
	for _, s := range spans {
		if s.from >= at && s.to <= len(letters) {
			out = append(append(out, letters[at:s.from]...), []rune(s.other)...)
		}
		at = min(max(at, s.to), len(letters))
	}
	return string(append(out, letters[at:]...))
}

func (v Veil) check(c verdict.Check) verdict.Check {
	if c.Kind != verdict.KindQuestion {
		c.Name, c.Why = v.text("name", c.Name, c.Mentions), v.text("why", c.Why, c.Mentions)
		c.Expected, c.Observed = v.text("expected", c.Expected, c.Mentions), v.text("observed", c.Observed, c.Mentions)
		if slices.ContainsFunc(c.Asked, func(name string) bool { return v.open[name] }) {
			if c.Why = ""; c.Verdict == verdict.Pass && len(c.Lines) == 0 {
				c.Expected, c.Observed, c.Want, c.Got = verdict.Withheld, verdict.Withheld, nil, nil
			}
		}
		c.Asked = nil
	}
	// Which choices of a set, or pairs of an order, are wrong is the answer.
	if c.Expected == "" && (c.Type == verdict.TypeSet || c.Type == verdict.TypeOrder) {
		c.Misconceptions = nil
	}
	c.Mentions = nil
	c.Want, c.Expected = v.said(c.Want, c.Expected)
	c.Got, c.Observed = v.said(c.Got, c.Observed)
	return c
}

// said is what is seen of what a check expected or observed, where that is a fact, and
// of the text, which is then to be written again.
func (v Veil) said(f *verdict.Fact, text string) (*verdict.Fact, string) {
	if f == nil {
		return nil, text
	}
	if v.ordered && f.Case == verdict.CasePaths {
		return nil, verdict.Withheld
	}
	out := v.fact(*f)
	if v.ordered {
		slices.SortFunc(out.Counts, func(a, b verdict.PointCount) int { return cmp.Compare(a.Point, b.Point) })
	}
	return &out, ""
}

func (v Veil) step(s verdict.Step) verdict.Step {
	s.Values, s.Stack = slices.Clone(s.Values), slices.Clone(s.Stack)
	mentions := s.Mentions
	s.Mentions = nil
	visitStep(&s, func(in string, text *string) { *text = v.text(in, *text, mentions) })
	for i, val := range s.Values {
		if val.Why != nil {
			why := v.fact(*val.Why)
			s.Values[i].Why, s.Values[i].Text = &why, ""
		}
	}
	if v.name("comm", s.Comm, mentions) != s.Comm {
		s.Comm = ""
	}
	if len(v.unseen) > 0 || v.name("stacks", "", mentions) != "" {
		s.Stacks = nil
	}
	// What was recorded is not searched for what it gives away.
	if len(v.unseen) > 0 || len(v.open) > 0 || v.ordered {
		s.Raw = nil
	}
	return s
}

func (v Veil) facts(facts []verdict.Fact) []verdict.Fact {
	facts = slices.Clone(facts)
	for i := range facts {
		facts[i] = v.fact(facts[i])
	}
	return facts
}

func (v Veil) fact(f verdict.Fact) verdict.Fact {
	f = f.Clone()
	mentions := f.Mentions
	f.Mentions = nil
	f.Names(func(in string, name *string) { *name = v.name(in, *name, mentions) })
	f.Texts(func(in string, text *string) { *text = v.text(in, *text, mentions) })
	f.Check = v.checkName(f.Check)
	for _, names := range [][]string{f.Checks, f.Questions} {
		for i := range names {
			names[i] = v.checkName(names[i])
		}
	}
	f.Why = v.facts(f.Why)
	return f
}

func (v Veil) checkName(name string) string {
	if v.unseen[name] {
		return verdict.Unnamed
	}
	if shown, ok := v.renamed[name]; ok {
		return shown
	}
	return name
}
