package submission

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"

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
	skipped   int // lines of the file before what is read
}

// bad records a problem; question is "" for a problem of the whole file.
func (r *answersReader) bad(line int, question, message string, args ...any) {
	if line > 0 {
		line += r.skipped
	}
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, &Problem{
			Part: PartAnswers, Question: question, File: AnswersFile, Line: line, Message: fmt.Sprintf(message, args...),
		})
	}
}

func (r *answersReader) read(data []byte) {
	body, problem := parse(data)
	if problem != nil {
		if !r.apart(data) {
			r.problems = append(r.problems, problem)
		}
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
	for _, p := range entries {
		if q, ok := r.question(p.Key); ok {
			r.answer(q, p)
		} else {
			r.unknown(p.Line, p.Key)
		}
	}
}

func (r *answersReader) question(name string) (grade.Question, bool) {
	i := slices.IndexFunc(r.questions, func(q grade.Question) bool { return q.Name == name })
	if i < 0 {
		return grade.Question{}, false
	}
	return r.questions[i], true
}

// unknown notes a name that is no question's. That costs nothing: the question
// that may be meant is not answered, which does.
func (r *answersReader) unknown(line int, key string) {
	var known []string
	for _, q := range r.questions {
		known = append(known, q.Name)
	}
	n := len(r.problems)
	r.bad(line, key, "no question %q%s", clip(key), nearest.Suggest(key, known))
	if len(r.problems) > n {
		r.problems[n].Free = true
	}
}

// written is an answer as it stands in the file.
type written struct {
	key  string
	line int // of the file, from 0
	text string
}

// begins matches the first line of an answer.
var begins = regexp.MustCompile(`^["']?([A-Za-z0-9_<][^:"']*?)["']?[ \t]*:([ \t\r]|$)`)

// apart reads each answer by itself, when the file cannot be read as a whole, so
// that a mistake in one costs no other. It reports whether the file is a list of
// answers at all.
func (r *answersReader) apart(data []byte) bool {
	text := string(bytes.TrimPrefix(data, []byte("\ufeff")))
	if !readable(text) || len(lexer.Tokenize(text)) > maxTokens {
		return false
	}
	var all []written
	times, asked := map[string]int{}, false
	for i, line := range strings.SplitAfter(text, "\n") {
		first := line == "" || strings.ContainsAny(line[:1], " \t\r\n#")
		m := begins.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		switch {
		case m != nil:
			_, ok := r.question(m[1])
			asked = asked || ok
			times[m[1]]++
			all = append(all, written{m[1], i, line})
		case !first:
			return false
		case len(all) > 0:
			all[len(all)-1].text += line
		}
	}
	if !asked {
		return false
	}
	defer func() { r.skipped = 0 }()
	seen := map[string]int{}
	for _, e := range all {
		r.skipped = e.line
		seen[e.key]++
		q, ok := r.question(e.key)
		switch body, problem := parse([]byte(e.text)); {
		case !ok:
			r.unknown(1, e.key)
		case seen[e.key] == 2: // told once
			r.spoilt(q, 1, "it is there %d times", times[e.key])
		case times[e.key] > 1:
		case problem != nil:
			r.spoilt(q, max(problem.Line, 1), "%s", problem.Message)
		default:
			if entries, ok := pairs(body); ok && len(entries) == 1 {
				r.answer(q, entries[0])
			} else {
				r.spoilt(q, 1, "want the answer behind the colon")
			}
		}
	}
	return true
}

// spoilt records an answer that cannot be read.
func (r *answersReader) spoilt(q grade.Question, line int, message string, args ...any) {
	message = fmt.Sprintf(message, args...)
	r.bad(line, q.Name, "%s: %s", q.Name, message)
	r.answers[q.Name] = grade.Answer{"": grade.Invalid(message)}
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
	var words []string
	for _, n := range items.Values {
		text, ok := yamlnode.Scalar(n)
		if !ok || text == "" {
			return nil, fmt.Errorf("want a list of words: %s", wanted(q))
		}
		words = append(words, text)
	}
	return several(q, words)
}

// several parses the items of an order or a set.
func several(q grade.Question, words []string) (any, error) {
	names, out := q.Names(), []string{}
	for _, text := range words {
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
