package labs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
	"kernellab/internal/yamlnode"
)

// Submission is what a student hands in.
type Submission struct {
	Program, Answers submission.Need
	Languages        []string // of a program; nil is all
}

// Question asks a student for something whose truth the run shows.
type Question struct {
	Name, Type, Prompt string
	Kind               string // Seen or Thought
	Unit               string
	Choices            []Named // the expressions are conditions, nil for none
	At                 string
	Truth              ByArch
	Tolerance          grade.Tolerance
	Wrong              []grade.Misconception
	Hint, Read         string
	Reveal             bool
	Score              int
	Visibility         verdict.Visibility
}

// The kinds of question: what can be copied from what a run shows, and what has to be
// thought about.
const (
	Seen    = "seen"
	Thought = "thought"
)

// What a submission scores, of 100: its program and its answers, or all of it the
// answers where the lab asks for no program.
const (
	ProgramMarks = 40
	AnswerMarks  = 60
)

// MostMarks returns the most that the program and the answers score.
func (l Lab) MostMarks() (program, answers int) {
	r := l.Rules(arch.Names()[0])
	program = r.ProgramScore()
	for _, q := range r.Questions {
		answers += max(q.Score, 1)
	}
	return program, answers
}

// Takes reports whether the lab takes submissions.
func (l Lab) Takes() bool {
	return l.Submission.Program != submission.None || l.Submission.Answers != submission.None
}

// Handed returns what is read of a submission to this lab.
func (l Lab) Handed() submission.Options {
	o := submission.Options{
		Program: l.Submission.Program, Answers: l.Submission.Answers, Languages: l.Submission.Languages,
	}
	for _, q := range l.Questions {
		o.Questions = append(o.Questions, q.rule("")) // names, types and choices are the same on all
	}
	return o
}

func (q Question) rule(arch string) grade.Question {
	out := grade.Question{
		Name: q.Name, Type: q.Type, Prompt: q.Prompt, Unit: q.Unit,
		At: q.At, Truth: q.Truth.For(arch), Tolerance: q.Tolerance, Wrong: q.Wrong,
		Hint: q.Hint, Read: q.Read, Reveal: q.Reveal, Score: q.Score, Visibility: q.Visibility,
	}
	for _, c := range q.Choices {
		out.Choices = append(out.Choices, grade.Alternative{Name: c.Name, When: c.Expr.For(arch)})
	}
	return out
}

func (r *reader) submission(p pair, lab *Lab) {
	s := &lab.Submission
	r.fields(p.value, "submission", []field{
		{"program", false, r.need(&s.Program)},
		{"languages", false, r.list(func(_ int, n ast.Node) {
			languages := []string{submission.Go, submission.C, submission.Script}
			word, _ := yamlnode.Scalar(n)
			if !slices.Contains(languages, word) {
				r.bad(yamlnode.Line(n), "languages: unknown language %q%s", word, nearest.Hint(word, languages))
				return
			}
			s.Languages = append(s.Languages, word)
		})},
		{"answers", false, r.need(&s.Answers)},
	})
}

func (r *reader) need(to *submission.Need) func(pair) {
	return func(p pair) {
		switch word, _ := yamlnode.Scalar(p.value); word {
		case "required":
			*to = submission.Required
		case "optional":
			*to = submission.Optional
		default:
			r.bad(p.line, "%s: want required or optional, not %q; leave it out when there is none", p.key, word)
		}
	}
}

func (r *reader) question(i int, n ast.Node, lab *Lab) {
	path := fmt.Sprintf("questions[%d]", i)
	q := Question{Kind: Seen}
	r.lines[path] = yamlnode.Line(n)
	r.fields(n, "question", []field{
		{"name", true, r.at(path+".name", r.text(&q.Name))},
		{"type", true, r.at(path+".type", r.text(&q.Type))},
		{"kind", false, r.word(&q.Kind, []string{Seen, Thought})},
		{"prompt", true, r.text(&q.Prompt)},
		{"unit", false, r.at(path+".unit", r.text(&q.Unit))},
		{"choices", false, r.at(path+".choices", r.choices(&q.Choices, path+".choices"))},
		{"at", false, r.at(path+".at", r.text(&q.At))},
		{"truth", false, r.at(path+".truth", r.byArch(&q.Truth))},
		{"tolerance", false, r.at(path+".tolerance", r.tolerance(&q.Tolerance))},
		{"wrong", false, r.at(path+".wrong", r.wrong(&q.Wrong, path+".wrong"))},
		{"hint", false, r.text(&q.Hint)},
		{"read", false, r.text(&q.Read)},
		{"reveal", false, r.truth(&q.Reveal)},
		{"score", false, r.number(&q.Score, 1, 100)},
		{"visibility", false, r.visibility(&q.Visibility)},
	})
	lab.Questions = append(lab.Questions, q)
}

// choices reads a list of texts, or texts with a condition each.
func (r *reader) choices(to *[]Named, path string) func(pair) {
	return func(p pair) {
		if _, ok := p.value.(*ast.SequenceNode); !ok {
			r.named(to, path)(p)
			return
		}
		r.list(func(i int, n ast.Node) {
			r.lines[fmt.Sprintf("%s[%d]", path, i)] = yamlnode.Line(n)
			s, ok := yamlnode.Scalar(n)
			if !ok || strings.TrimSpace(s) == "" || strings.Contains(s, "\n") {
				r.bad(yamlnode.Line(n), "choices: want one line of text")
				return
			}
			*to = append(*to, Named{Name: s})
		})(p)
	}
}

// wrong reads wrong answers, each with the misconception behind it.
func (r *reader) wrong(to *[]grade.Misconception, path string) func(pair) {
	return func(p pair) {
		all := r.pairs(p.value, "wrong")
		if len(all) == 0 {
			r.bad(p.line, "wrong: say at least one wrong answer")
		}
		for i, w := range all {
			r.lines[fmt.Sprintf("%s[%d]", path, i)] = w.line
			m := grade.Misconception{Answer: r.expression(w.line, w.key)}
			r.text(&m.Says)(w)
			*to = append(*to, m)
		}
	}
}

// tolerance reads "4" or "5%".
func (r *reader) tolerance(to *grade.Tolerance) func(pair) {
	return func(p pair) {
		s, _ := yamlnode.Scalar(p.value)
		text, percent := strings.CutSuffix(s, "%")
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= 0 && n < 1e18) {
			r.bad(p.line, "tolerance: want a number such as 16 or a part such as 5%%, not %q", s)
			return
		}
		if percent {
			to.Relative = n / 100
		} else {
			to.Absolute = n
		}
	}
}

// asked reports what is wrong between the questions and what is handed in.
func (r *reader) asked(lab Lab) {
	for i, q := range lab.Questions {
		if !nameOfLab.MatchString(q.Name) {
			r.bad(r.lines[fmt.Sprintf("questions[%d].name", i)], "name %q: want small letters, digits and hyphens", q.Name)
		}
	}
	asked := lab.Submission.Answers != submission.None
	switch {
	case len(lab.Questions) > 0 && !asked:
		r.bad(r.lines["questions"], `questions: nobody is asked: say "submission: {answers: required}"`)
	case len(lab.Questions) == 0 && asked:
		r.bad(r.lines["submission"], "submission: answers are asked for, and there are no questions")
	case len(lab.Submission.Languages) > 0 && lab.Submission.Program == submission.None:
		r.bad(r.lines["submission"], "submission: languages of a program that is not asked for")
	case asked:
		r.marks(lab)
	}
}

// marks reports scores that do not add up.
func (r *reader) marks(lab Lab) {
	program, answers := lab.MostMarks()
	if line := cmp.Or(r.lines["marks"], r.lines["submission"]); program != ProgramMarks {
		r.bad(line, "marks: the program scores %d in all, and has to score %d: \"marks\" and the checks with a score of their own add up to it", program, ProgramMarks)
	}
	want := AnswerMarks
	if lab.Submission.Program == submission.None {
		want += ProgramMarks
	}
	if answers != want {
		r.bad(r.lines["questions"], "questions: the answers score %d in all, and have to score %d", answers, want)
	}
}
