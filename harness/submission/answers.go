package submission

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/internal/nearest"
	"kernellab/internal/yamlnode"
)

// maxProblems limits the problems reported for one file.
const maxProblems = 25

// answers reads the answers from the files. They stay nil if the lab asks for none. If
// the file cannot be read, all answers are invalid.
func (s *Submission) answers(f *files, o Options) {
	data, there := f.data[AnswersFile]
	if o.Answers == None || o.Answers == Optional && !there && s.Problem(PartAnswers) == nil {
		return
	}
	s.Answers = grade.Answers{}
	r := &answersReader{questions: o.Questions, answers: s.Answers}
	switch {
	case s.Problem(PartAnswers) != nil:
	case !there:
		r.problems = append(r.problems, &Problem{
			Part: PartAnswers, Message: "no " + AnswersFile + ": the questions are not answered", Hint: f.similar([]string{AnswersFile}),
		})
	default:
		r.read(data)
	}
	s.Problems = append(s.Problems, r.problems...)
	if s.Problem(PartAnswers) == nil {
		return
	}
	for _, q := range o.Questions {
		s.Answers[q.Name] = grade.Answer{"": grade.Invalid(AnswersFile + " cannot be read")}
	}
}

// answersReader reads a file of answers and collects all problems.
type answersReader struct {
	questions []grade.Question
	answers   grade.Answers
	problems  []*Problem
}

// bad records a problem; question is "" for a problem of the whole file.
func (r *answersReader) bad(line int, question, message string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, &Problem{
			Part: PartAnswers, Question: question, File: AnswersFile, Line: line, Message: fmt.Sprintf(message, args...),
		})
	}
}

func (r *answersReader) read(data []byte) {
	body, problem := parse(data)
	if problem != nil {
		r.problems = append(r.problems, problem)
		return
	}
	if body == nil {
		return // only comments
	}
	entries, ok := pairs(body)
	if !ok {
		r.bad(yamlnode.Line(body), "", "want a question's name, a colon and the answer on each line")
		return
	}
	var known []string
	for _, q := range r.questions {
		known = append(known, q.Name)
	}
	for _, p := range entries {
		i := slices.Index(known, p.Key)
		if i < 0 {
			r.bad(p.Line, p.Key, "no question %q%s", clip(p.Key), nearest.Suggest(p.Key, known))
			continue
		}
		r.answer(r.questions[i], p)
	}
}

// release matches a kernel's version, or the beginning of one.
var release = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*([-+.][A-Za-z0-9.+~-]*)?$`)

// answer reads the answer to a question: one for everything, or one for each
// architecture or kernel.
func (r *answersReader) answer(q grade.Question, p yamlnode.Pair) {
	a := grade.Answer{}
	take := func(key string, p yamlnode.Pair) {
		value, err := value(q, p.Value)
		if err != nil {
			r.bad(p.Line, q.Name, "%s: %v", p.Key, err)
			value = grade.Invalid(err.Error())
		}
		if value != nil {
			a[key] = value
		}
	}
	if byArch, ok := pairs(p.Value); ok {
		for _, v := range byArch {
			where, kernel, _ := strings.Cut(v.Key, " ")
			if kernel = strings.TrimSpace(kernel); !slices.Contains(arch.Names(), where) {
				r.bad(v.Line, q.Name, "%s: unknown architecture %q%s: answer for %s", q.Name, clip(where), nearest.Suggest(where, arch.Names()), strings.Join(arch.Names(), " and "))
				continue
			}
			if kernel != "" && !release.MatchString(kernel) {
				r.bad(v.Line, q.Name, "%s: no kernel %q: name a series or a version, as in \"%s 6.12\"", q.Name, clip(kernel), where)
				continue
			}
			take(strings.TrimSpace(where+" "+kernel), v)
		}
	} else {
		take("", p)
	}
	if len(a) > 0 {
		r.answers[q.Name] = a
	}
}

// value reads one answer; nil means not answered.
func value(q grade.Question, n ast.Node) (any, error) {
	list := q.Type == grade.TypeOrder || q.Type == grade.TypeSet
	if text, ok := yamlnode.Scalar(n); ok {
		switch {
		case text == "":
			return nil, nil
		case list:
			return nil, fmt.Errorf("want a list, such as [%s]", strings.Join(q.Names()[:min(2, len(q.Names()))], ", "))
		}
		return plain(q, text)
	}
	items, ok := n.(*ast.SequenceNode)
	switch {
	case !ok:
		return nil, fmt.Errorf("want %s", wanted(q))
	case !list:
		return nil, fmt.Errorf("want one answer and not a list: %s", wanted(q))
	case q.Type == grade.TypeOrder && len(items.Values) == 0:
		return nil, nil
	}
	return several(q, items.Values)
}

// several reads the items of an order or a set.
func several(q grade.Question, items []ast.Node) (any, error) {
	names, out := q.Names(), []string{}
	for _, n := range items {
		text, ok := yamlnode.Scalar(n)
		if !ok || text == "" {
			return nil, fmt.Errorf("want a list of words: %s", wanted(q))
		}
		name, err := choose(text, names)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(out, name):
			return nil, fmt.Errorf("%q is listed twice", name)
		}
		out = append(out, name)
	}
	if q.Type == grade.TypeOrder && len(out) < len(names) {
		left := slices.DeleteFunc(names, func(n string) bool { return slices.Contains(out, n) })
		return nil, fmt.Errorf("an order has all the points, but these are missing: %s", strings.Join(left, ", "))
	}
	return out, nil
}

// wanted describes an answer to the question.
func wanted(q grade.Question) string {
	switch q.Type {
	case grade.TypeNumber:
		if q.Unit != "" {
			return "a number of " + q.Unit + " such as 24 or 0x18"
		}
		return "a number such as 24 or 0x18"
	case grade.TypeAddress:
		return "an address such as 0xffffffff81000000"
	case grade.TypeSymbol:
		return "the name of a function, such as schedule"
	case grade.TypeChoice:
		return "one of " + strings.Join(q.Names(), ", ")
	case grade.TypeOrder:
		return "a list of " + strings.Join(q.Names(), ", ") + " in the right order"
	}
	return "a list of some of " + strings.Join(q.Names(), ", ")
}
