package grade

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kernellab/harness/trace"
)

// Submitted is what is graded of a submission.
type Submitted struct {
	Rules Rules // with the answers, or nil for none asked
	// Trace is the run of the student's program; nil when there is none that
	// could be run.
	Trace *trace.Trace
	// Reference is a run of the lab's own program, for the answers whose truth
	// Trace does not show. NeedsReference says when it is wanted.
	Reference *trace.Trace
	// Findings are what is wrong with what was handed in.
	Findings []Finding
	// Kernel and QEMU stand in the result when there is no trace at all.
	Kernel, QEMU string
}

// GradeSubmission judges a submission. What could not be run scores nothing, and
// the answers count all the same.
func GradeSubmission(s Submitted) Result {
	var reference *view
	var lost error
	if s.Reference != nil {
		if reference, lost = newView(s.Reference, s.Rules); lost != nil {
			reference = nil
		}
	}
	if s.Trace != nil {
		return grade(s.Trace, reference, s.Rules, s.Findings)
	}
	rules := s.Rules
	if s.Reference != nil {
		rules = rules.here(s.Reference)
	}
	res := newResult(rules)
	res.Notes = append(res.Notes, rules.notes...)
	res.Kernel, res.QEMU = s.Kernel, s.QEMU
	res.Unseen = rules.unseen(func(string) string { return "" })
	if s.Reference != nil {
		h := s.Reference.Header
		res.Kernel, res.QEMU, res.Arch = h.Kernel.Release, h.QEMU, h.Arch
	}
	if lost != nil {
		return res.errorf("the lab's own program, which the answers are compared with: %v", lost)
	}
	g := &grader{view: &view{trace: &trace.Trace{}, rules: rules}, result: &res, absent: true}
	for _, f := range s.Findings {
		g.findings = append(g.findings, placed{Finding: f})
	}
	for i := range res.Checks {
		res.Checks[i].Observed = "no program was run"
	}
	if err := s.Rules.Validate(); err != nil {
		return res.errorf("the rules of lab %s do not hold: %v", s.Rules.Lab, err)
	}
	g.answers(reference)
	g.finish()
	if res.Verdict != Error && len(res.Checks) == 0 {
		return res.errorf("the lab asks for nothing that could be graded")
	}
	return res
}

// known is the truth of a question.
type known struct {
	Question
	truth any
}

// withheld stands for a value that a question asks for.
const withheld = "(a question asks for it)"

// conceal takes out of the rest of the result what the questions ask for: the
// value of a check that passes, what one that could not be made expects, and what
// was read at a step would give it away to the next attempt. What a failing check
// expects and saw stays, as that is what has to be mended. The points themselves,
// and their order, are no secret.
func (g *grader) conceal() {
	hidden := slices.ContainsFunc(g.rules.Questions, func(q Question) bool { return !q.Reveal })
	if g.rules.Answers == nil || !hidden {
		return
	}
	s := g.secrets()
	for i := range g.result.Checks {
		c := &g.result.Checks[i]
		switch {
		case c.Kind != "" || len(c.Lines) > 0:
		case c.Verdict == Skip:
			c.Expected = ""
		case c.Verdict == Pass && (s.told(c.Expected) || s.told(c.Observed)):
			c.Expected, c.Observed = withheld, withheld
		}
	}
	for i := range g.result.Steps {
		s.step(&g.result.Steps[i])
	}
	g.result.Lifetime = slices.Clone(g.result.Lifetime)
	for i, line := range g.result.Lifetime {
		if s.told(line) {
			g.result.Lifetime[i] = withheld
		}
	}
}

// secrets are the truths that are not told, as they would be written.
type secrets struct {
	words   map[string]bool
	symbols map[string]bool
	numbers bool
}

func (g *grader) secrets() secrets {
	s := secrets{words: map[string]bool{}, symbols: map[string]bool{}}
	for _, k := range g.truths {
		if k.Reveal {
			continue
		}
		switch t := k.truth.(type) {
		case int:
			s.words[strconv.Itoa(t)], s.words[trace.Word(t).String()] = true, true
			s.numbers = true
		case string:
			if k.Type == TypeSymbol {
				s.words[t], s.symbols[t] = true, true
			}
		}
	}
	return s
}

func (s secrets) told(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, notOfWord), func(w string) bool { return s.words[w] })
}

func (s secrets) step(step *Step) {
	step.Values = slices.Clone(step.Values)
	for j, v := range step.Values {
		if s.told(v.Text) {
			step.Values[j].Text = withheld
		}
	}
	if s.told(step.Lifetime) {
		step.Lifetime = withheld
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
}

func notOfWord(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }

// Problem returns a finding about what was handed in.
func Problem(kind, format string, args ...any) Finding {
	return Finding{Kind: kind, Message: fmt.Sprintf(format, args...)}
}
