package grade

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kernellab/harness/expr"
	"kernellab/harness/redact"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// known is the truth of a question.
type known struct {
	Question
	truth any
}

// small is below what is taken for a secret wherever it stands: counts, pids and
// statuses are numbers too. Where a check is about what a question asks, they are.
const small = 256

// conceal takes the values that a question asks for out of the checks and the steps,
// as they would give it away to the next attempt. Points and their order stay: marked
// notes which of them answer a question, and Shown leaves those out.
func (g *grader) conceal() secrets {
	s := g.secrets()
	hidden := slices.ContainsFunc(g.rules.Questions, func(q Question) bool { return !q.Reveal })
	if g.rules.Answers == nil || !hidden {
		return s
	}
	for i := range g.result.Checks {
		c := &g.result.Checks[i]
		switch {
		case c.Kind != "" || len(c.Lines) > 0:
		case c.Verdict == verdict.Skip:
			c.Expected, c.Want = "", nil
		case c.Verdict == verdict.Pass && (s.told(c.Expected) || s.told(c.Observed)):
			c.Expected, c.Observed = verdict.Withheld, verdict.Withheld
			c.Got = nil
		case c.Verdict == verdict.Fail:
			g.concealFailure(c, s)
		}
	}
	for _, steps := range [][]verdict.Step{g.result.Steps, g.result.Evidence} {
		for i := range steps {
			s.step(&steps[i])
		}
	}
	g.result.Lifetime = slices.Clone(g.result.Lifetime)
	for i, line := range g.result.Lifetime {
		if s.told(line) {
			g.result.Lifetime[i] = verdict.Withheld
		}
	}
	g.asked(s)
	return s
}

// concealFailure takes out of a check that fails what a question asks for. What the
// program did wrong stays.
func (g *grader) concealFailure(c *verdict.Check, s secrets) {
	i := slices.IndexFunc(g.rules.Checks, func(r CheckRule) bool { return r.Name == c.Name })
	if i < 0 {
		return // of the path, which is no secret here, or of the program
	}
	question := g.rules.asksFor(g.rules.Checks[i])
	about := question != ""
	if about && s.distinct(c.Expected) {
		s.phrases[c.Expected], s.always[c.Expected] = question, true // on a run that goes right
	}
	if about || s.large(c.Expected) || s.whole(c.Expected) {
		c.Expected = verdict.Withheld
	}
	if s.large(c.Observed) || s.whole(c.Observed) || about && s.told(c.Observed) {
		c.Observed = verdict.Withheld
	}
}

// asksFor returns the question, not revealed, that is about what a check observes, so
// that what the check expects is the answer; "" for none.
func (r Rules) asksFor(c CheckRule) string {
	observed, wanted := r.paths(c.At, c.Observed), r.paths(c.At, c.Expected, c.That)
	i := slices.IndexFunc(r.Questions, func(q Question) bool {
		if q.Reveal || q.Type == TypeOrder {
			return false
		}
		if q.Truth != "" && q.Type != TypeChoice {
			return c.That == "" && slices.Equal(observed, r.paths(q.At, q.Truth))
		}
		asked := r.paths(q.At, q.Truth)
		for _, a := range q.Choices {
			asked = append(asked, r.paths(q.At, a.When)...)
		}
		in := func(p string) bool { return slices.Contains(asked, p) }
		all := append(slices.Clone(observed), wanted...)
		return len(wanted) > 0 && !slices.ContainsFunc(all, func(p string) bool { return !in(p) })
	})
	if i < 0 {
		return ""
	}
	return r.Questions[i].Name
}

// askedBy returns the questions, not revealed, that the reason for a check may answer:
// those that the lab names, and those about a value that the check compares.
func (r Rules) askedBy(c CheckRule) []string {
	if r.Answers == nil {
		return nil
	}
	of := r.paths(c.At, c.Observed, c.Expected, c.That)
	var out []string
	for _, q := range r.Questions {
		about := slices.ContainsFunc(r.pathsOf(q), func(p string) bool { return strings.Contains(p, ".") && slices.Contains(of, p) })
		if !q.Reveal && (about || slices.Contains(c.Asked, q.Name)) {
			out = append(out, q.Name)
		}
	}
	return out
}

// pathsOf is paths of what a question asks for.
func (r Rules) pathsOf(q Question) []string {
	exprs := []string{q.Truth}
	for _, c := range q.Choices {
		exprs = append(exprs, c.When)
	}
	return r.paths(q.At, exprs...)
}

// paths returns the names that expressions at a point use, each with its point, in
// alphabetical order.
func (r Rules) paths(at string, exprs ...string) []string {
	var out []string
	for _, src := range exprs {
		e, err := expr.Parse(src)
		if err != nil {
			continue // Validate reports it
		}
		for _, p := range e.Paths() {
			if expr.OfEvent(p[0]) {
				p = append([]string{at}, p...)
			}
			out = append(out, strings.Join(p, "."))
		}
		for _, text := range e.Texts() {
			out = append(out, strconv.Quote(text))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// asked notes which questions the order of the points answers, and collects the
// names, phrases and tasks that answer the others.
func (g *grader) asked(s secrets) {
	for _, q := range g.rules.Questions {
		if q.Type == TypeOrder && !q.Reveal && g.answerTo(q.Name).Verdict != verdict.Pass {
			g.result.Ordered = append(g.result.Ordered, q.Name)
		}
		if q.Reveal || g.answerTo(q.Name).Verdict == verdict.Pass {
			continue
		}
		for _, p := range g.rules.pathsOf(q) {
			if point, of, _ := strings.Cut(p, "."); strings.HasPrefix(of, "task.") {
				s.tasks[point] = q.Name
			}
		}
	}
	for _, k := range g.truths {
		t, ok := k.truth.(string)
		if !ok || k.Reveal || g.answerTo(k.Name).Verdict == verdict.Pass {
			continue
		}
		s.phrases[t] = k.Name
		for _, p := range g.trace.Header.Points {
			if k.Type == TypeSymbol && p.Symbol == t {
				s.phrases[p.Point] = k.Name // is taken for the answer, too
			}
		}
	}
}

// marked notes in a result what students may not see.
func marked(res verdict.Result, s secrets) verdict.Result {
	a := redact.Answers{Phrases: map[string]string{}, Words: map[string]string{}, Tasks: s.tasks, Always: s.always}
	for phrase, question := range s.phrases {
		// What the lab is called stands in every other line.
		if s.distinct(phrase) && phrase != res.Lab {
			a.Phrases[phrase] = question
		} else {
			a.Words[phrase] = question
		}
	}
	return redact.Mark(res, a)
}

// secrets are the truths that are not told, as they would be written.
type secrets struct {
	words   map[string]bool
	symbols map[string]bool
	phrases map[string]string // that stand for an answer wherever they are, and to which question
	always  map[string]bool   // those of phrases that are the answer on a run that goes right
	tasks   map[string]string // points whose task answers a question, and which
	sets    []known
	numbers bool
}

func (g *grader) secrets() secrets {
	s := secrets{words: map[string]bool{}, symbols: map[string]bool{}, phrases: map[string]string{}, always: map[string]bool{}, tasks: map[string]string{}}
	for _, k := range g.truths {
		if k.Reveal {
			continue
		}
		switch t := k.truth.(type) {
		case int:
			s.words[strconv.Itoa(t)], s.words[trace.Word(t).String()] = true, true
			s.numbers = true
		case string:
			switch {
			case k.Type == TypeSymbol:
				s.words[t], s.symbols[t] = true, true
			case k.Type == TypeChoice:
				s.words[t] = true
			}
		case []string:
			if k.Type == TypeSet && len(t) > 0 {
				s.sets = append(s.sets, k)
			}
		}
	}
	return s
}

// distinct reports whether a text is no word that stands in any sentence: an
// identifier or an address, or several words.
func (s secrets) distinct(text string) bool {
	if n, err := strconv.Atoi(text); err == nil {
		return n >= small || n < 0
	}
	return strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsLower(r) && r != '-' })
}

func (s secrets) told(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, notOfWord), func(w string) bool { return s.words[w] })
}

// large is told of what is a secret wherever it stands.
func (s secrets) large(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, notOfWord), func(w string) bool { return s.words[w] && s.distinct(w) })
}

// whole reports whether a text is an answer as a whole: a choice, or all of a set's
// and none of the others.
func (s secrets) whole(text string) bool {
	if s.words[text] && !isNumber(text) {
		return true
	}
	words := strings.FieldsFunc(text, notOfWord)
	return slices.ContainsFunc(s.sets, func(k known) bool {
		for _, c := range k.Choices {
			if slices.Contains(words, c.Name) != slices.Contains(k.truth.([]string), c.Name) {
				return false
			}
		}
		return true
	})
}

func isNumber(text string) bool {
	_, err := strconv.ParseInt(text, 0, 64)
	return err == nil
}

func (s secrets) step(step *verdict.Step) {
	step.Values = slices.Clone(step.Values)
	for j, v := range step.Values {
		if s.told(v.Text) || s.whole(v.Text) {
			step.Values[j].Text = verdict.Withheld
		}
	}
	if s.told(step.Lifetime) {
		step.Lifetime = verdict.Withheld
	}
	if s.symbols[step.Symbol] {
		step.Symbol, step.Why, step.Source = "", "", ""
	}
	if s.words[step.Address.String()] {
		step.Address = 0
	}
	if len(s.symbols) > 0 {
		step.Stack, step.Sources = nil, nil
	}
	if s.numbers {
		step.Stacks = nil
	}
	step.Raw = nil
}

func notOfWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }
