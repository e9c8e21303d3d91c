// Package redact decides what students see of a verdict document. Mark notes, when a
// run is graded, where names and answers stand in what the lab's author wrote and in
// values; Shown leaves out what its reader may not see, by names, visibilities and
// those notes. It reads and writes no sentence, so rewording one changes nothing, and a
// document that was written and read again shows the same.
package redact

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"kernellab/harness/verdict"
)

// marker notes in a result where names stand that students may not see, and what
// answers a question. It reads what the lab's author wrote, and values; no sentence
// has been written yet. Shown goes by its notes alone.
type marker struct {
	// names are points, symbols and checks.
	names          []string
	phrases, words map[string]string // see Answers
	tasks          map[string]string // see Answers
	always         map[string]bool
}

// Answers are texts that answer a question that is not answered right. Both map to the
// question's name.
type Answers struct {
	// Phrases answer it wherever they are; Words do in what the lab's author wrote
	// about the checks, and stand in other texts by chance.
	Phrases, Words map[string]string
	// Tasks are the points whose task answers it.
	Tasks map[string]string
	// Always are those of them that stay hidden when the answer is right: they are the
	// answer on a run that goes as it should, which this one may not.
	Always map[string]bool
}

// Mark notes in a result what Shown leaves out.
func Mark(res verdict.Result, a Answers) verdict.Result {
	m := marker{phrases: a.Phrases, words: a.Words, tasks: a.Tasks, always: a.Always}
	for _, u := range res.Unseen {
		m.names = append(m.names, u.Name)
	}
	for _, c := range res.Checks {
		m.names = append(m.names, c.Name)
	}
	for i := range res.Checks {
		m.check(&res.Checks[i])
	}
	for _, steps := range [][]verdict.Step{res.Steps, res.Evidence} {
		for i := range steps {
			m.step(&steps[i])
		}
	}
	for i := range res.Evidence {
		e := &res.Evidence[i]
		if question, ok := m.tasks[e.Point]; ok {
			e.Mentions = append(e.Mentions, verdict.Mention{In: "task", Question: question})
		}
	}
	for i := range res.Findings {
		if f := &res.Findings[i]; f.Kind != verdict.FindAnswer {
			m.fact(&f.Fact)
		}
	}
	m.facts(res.Remarks)
	m.facts(res.Causes)
	for i := range res.Moments {
		at := &res.Moments[i]
		at.Mentions = m.text(nil, "text", res.Lifetime[i], false)
	}
	return res
}

// text notes the names in a text that is the field in; own says that the lab's author
// wrote it about a check.
func (m marker) text(to []verdict.Mention, in, text string, own bool) []verdict.Mention {
	add := func(word string, mention verdict.Mention) {
		for _, at := range places(text, word) {
			mention.In, mention.From, mention.To = in, at[0], at[1]
			to = append(to, mention)
		}
	}
	for _, name := range m.names {
		add(name, verdict.Mention{Name: name})
	}
	answers := []map[string]string{m.phrases}
	if own {
		answers = append(answers, m.words)
	}
	for _, phrases := range answers {
		for _, phrase := range slices.Sorted(maps.Keys(phrases)) {
			add(phrase, verdict.Mention{Question: phrases[phrase], Always: m.always[phrase]})
		}
	}
	return to
}

func (m marker) check(c *verdict.Check) {
	if c.Kind == verdict.KindQuestion {
		return // what may be answered is in the template
	}
	m.names = slices.DeleteFunc(slices.Clone(m.names), func(name string) bool { return name == c.Name })
	c.Mentions = nil
	for _, t := range []struct {
		in, text string
		own      bool
	}{{"name", c.Name, true}, {"why", c.Why, true}, {"expected", c.Expected, false}, {"observed", c.Observed, false}} {
		c.Mentions = m.text(c.Mentions, t.in, t.text, t.own)
	}
	for _, f := range []**verdict.Fact{&c.Want, &c.Got} {
		if *f != nil {
			own := (*f).Clone()
			m.fact(&own)
			*f = &own
		}
	}
}

func (m marker) step(s *verdict.Step) {
	s.Mentions = nil
	visitStep(s, func(in string, text *string) { s.Mentions = m.text(s.Mentions, in, *text, false) })
	for i := range s.Values {
		if s.Values[i].Why != nil {
			m.fact(s.Values[i].Why)
		}
	}
	if question, ok := m.words[s.Comm]; ok {
		s.Mentions = append(s.Mentions, verdict.Mention{In: "comm", Question: question, Always: m.always[s.Comm]})
	}
	for _, question := range slices.Compact(slices.Sorted(maps.Values(m.phrases))) {
		if len(s.Stacks) > 0 {
			s.Mentions = append(s.Mentions, verdict.Mention{In: "stacks", Question: question})
		}
	}
}

// visitStep calls visit for the texts of a step that can have names in them.
func visitStep(s *verdict.Step, visit func(in string, text *string)) {
	visit("point", &s.Point)
	visit("means", &s.Means)
	visit("why", &s.Why)
	visit("lifetime", &s.Lifetime)
	for i := range s.Values {
		visit(fmt.Sprintf("values.%d", i), &s.Values[i].Text)
	}
	for i := range s.Stack {
		visit(fmt.Sprintf("stack.%d", i), &s.Stack[i])
	}
}

func (m marker) facts(facts []verdict.Fact) {
	for i := range facts {
		m.fact(&facts[i])
	}
}

func (m marker) fact(f *verdict.Fact) {
	f.Mentions = nil
	f.Names(func(in string, name *string) {
		question, answers := m.phrases[*name]
		if !answers && in == "task" {
			question, answers = m.words[*name]
		}
		if answers {
			f.Mentions = append(f.Mentions, verdict.Mention{In: in, Question: question, Always: m.always[*name]})
		}
	})
	f.Texts(func(in string, text *string) { f.Mentions = m.text(f.Mentions, in, *text, false) })
	m.facts(f.Why)
}

// places returns where a name stands in a text as a word of its own, as ranges of
// characters.
func places(text, name string) (out [][2]int) {
	if name == "" {
		return nil
	}
	for i := 0; i+len(name) <= len(text); {
		end := i + len(name)
		if text[i:end] != name || wordEnd(text[:i]) || wordStart(text[end:]) {
			_, n := utf8.DecodeRuneInString(text[i:])
			i += n
			continue
		}
		from := utf8.RuneCountInString(text[:i])
		out = append(out, [2]int{from, from + utf8.RuneCountInString(name)})
		i = end
	}
	return out
}

func wordEnd(s string) bool   { return s != "" && wordByte(s[len(s)-1]) }
func wordStart(s string) bool { return s != "" && wordByte(s[0]) }

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}
