package grade

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

// Question asks a student for something whose truth a run shows.
type Question struct {
	Name   string // its key in the file of answers
	Type   string // see QuestionTypes
	Prompt string
	Unit   string // of a number: "bytes"

	// Choices are what may be answered to a choice or a set, and the points that
	// an order is of, in no telling order.
	Choices []Alternative

	At        string // the point whose event the truth sees; "" is none
	Truth     string // an expression; "" where the choices or the run are the truth
	Tolerance Tolerance

	// Wrong are wrong answers and what may be behind each.
	Wrong []Misconception

	Hint   string // told when the answer is wrong
	Read   string // what to read then
	Reveal bool   // whether the truth is told then
	Score  int    // 0 is 1
	// Visibility is of what became of the answer; the question itself is in the
	// template of answers.
	Visibility verdict.Visibility
}

// Alternative is one of the answers to choose from.
type Alternative struct {
	Name string
	When string // a condition: the alternative belongs to the truth; "" where an expression says it
}

// Misconception is a wrong answer, and a sentence about what may be behind it. Answer is
// of a choice the choice; of a set a choice that was taken or left out wrongly; of an
// order "A before B"; of a symbol a function; and else, or where it is no name, an
// expression over the run, evaluated as the truth is.
type Misconception struct{ Answer, Says string }

// before joins the two points of an order that a misconception is about.
const before = " before "

// Tolerance is how far a number may be from the truth; the larger one counts.
type Tolerance struct {
	Absolute float64 // in the number's unit
	Relative float64 // 0.05 is five per cent of the truth
}

// The types of question.
const (
	TypeNumber  = "number"
	TypeAddress = "address"
	TypeSymbol  = "symbol" // of this kernel, or the point that it is
	TypeChoice  = "choice"
	TypeOrder   = verdict.TypeOrder
	TypeSet     = verdict.TypeSet
)

// QuestionTypes returns the types.
func QuestionTypes() []string {
	return []string{TypeNumber, TypeAddress, TypeSymbol, TypeChoice, TypeOrder, TypeSet}
}

// Answers are what a student answered, by the question's name.
type Answers map[string]Answer

// Answer is the answer to one question, by where it holds: on an architecture
// ("riscv64"), on kernels of one ("x86_64 6.12", "x86_64 6.12.107"), or with the
// key "" everywhere. A value is an int or float64 for a number, an int for an
// address, a string for a symbol or choice, a []string for an order or set, and an
// [Invalid] for what is none of these.
type Answer map[string]any

// Invalid is an answer that can not be taken, and why.
type Invalid string

// On returns the value for a kernel: that of the closest key.
func (a Answer) On(arch, release string) (value any, ok bool) {
	best := -1
	for key, v := range a {
		where, kernel, _ := strings.Cut(key, " ")
		if where != "" && where != arch || !inSeries(release, kernel) || len(key) <= best {
			continue
		}
		best, value, ok = len(key), v, true
	}
	return value, ok
}

// inSeries reports whether a release is of a series, such as 6.12.107-cloud of
// 6.12; "" is all of them.
func inSeries(release, series string) bool {
	rest, ok := strings.CutPrefix(release, series)
	return ok && (series == "" || rest == "" || rest[0] < '0' || rest[0] > '9')
}

func (q Question) score() int { return max(q.Score, 1) }

// Names returns the alternatives.
func (q Question) Names() []string {
	var out []string
	for _, c := range q.Choices {
		out = append(out, c.Name)
	}
	return out
}

// Question returns the question of that name.
func (r Rules) Question(name string) (Question, bool) {
	i := slices.IndexFunc(r.Questions, func(q Question) bool { return q.Name == name })
	if i < 0 {
		return Question{}, false
	}
	return r.Questions[i], true
}

func (r Rules) questionNames() []string {
	var out []string
	for _, q := range r.Questions {
		out = append(out, q.Name)
	}
	return out
}

func (r Rules) validateQuestions(bad func(path, format string, args ...any)) {
	seen := map[string]bool{}
	for i, q := range r.Questions {
		path := fmt.Sprintf("questions[%d]", i)
		if seen[q.Name] {
			bad(path+".name", "%q is the name of another question", q.Name)
		}
		seen[q.Name] = true
		if q.At != "" {
			if _, ok := r.point(q.At); !ok {
				bad(path+".at", "no point %q%s", q.At, nearest.Hint(q.At, r.names()))
				continue
			}
		}
		if !slices.Contains(QuestionTypes(), q.Type) {
			bad(path+".type", "unknown type %q%s", q.Type, nearest.Hint(q.Type, QuestionTypes()))
			continue
		}
		r.validateTruth(path, q, bad)
		r.validateWrong(path, q, bad)
	}
}

// validateWrong checks that each misconception is about an answer that can be given.
func (r Rules) validateWrong(path string, q Question, bad func(path, format string, args ...any)) {
	for i, m := range q.Wrong {
		at := fmt.Sprintf("%s.wrong[%d]", path, i)
		unknown := func(name string) bool {
			known := slices.ContainsFunc(q.Choices, func(c Alternative) bool { return sameWord(c.Name, name) })
			if !known {
				bad(at, "%q is none of the choices%s", name, nearest.Hint(name, q.Names()))
			}
			return !known
		}
		switch a, b, two := strings.Cut(m.Answer, before); {
		case q.Type == TypeOrder && !two:
			bad(at, "%q: a wrong order is \"A before B\"", m.Answer)
		case q.Type == TypeOrder:
			if !unknown(a) && !unknown(b) && sameWord(a, b) {
				bad(at, "%q: want two points", m.Answer)
			}
		case q.Type == TypeChoice || q.Type == TypeSet:
			unknown(m.Answer)
		case q.Type == TypeSymbol && isName(m.Answer):
		default:
			if err := r.checkExpr(m.Answer, q.At); err != nil {
				bad(at, "%w", err)
			}
		}
	}
}

// isName reports whether an answer is the name of a function, and no expression.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, notOfWord)
}

// validateTruth checks that the truth of a question is there, in the one form
// that its type has.
func (r Rules) validateTruth(path string, q Question, bad func(path, format string, args ...any)) {
	list := q.Type == TypeChoice || q.Type == TypeSet || q.Type == TypeOrder
	conditions := 0
	for j, c := range q.Choices {
		at := fmt.Sprintf("%s.choices[%d]", path, j)
		if slices.ContainsFunc(q.Choices[:j], func(o Alternative) bool { return sameWord(o.Name, c.Name) }) {
			bad(at, "%q is there twice", c.Name)
		}
		if c.When != "" {
			conditions++
			if err := r.checkExpr(c.When, q.At); err != nil {
				bad(at, "%w", err)
			}
		}
		if _, ok := r.point(c.Name); !ok && q.Type == TypeOrder {
			bad(at, "an order is of points, and there is none %q%s", c.Name, nearest.Hint(c.Name, r.names()))
		}
	}
	if q.Tolerance != (Tolerance{}) && q.Type != TypeNumber {
		bad(path+".tolerance", "only a number has a tolerance")
	}
	if q.Unit != "" && q.Type != TypeNumber {
		bad(path+".unit", "only a number has a unit")
	}
	switch {
	case list && len(q.Choices) < 2:
		bad(path, "a question of type %s has at least two \"choices\"", q.Type)
	case !list && len(q.Choices) > 0:
		bad(path+".choices", "a question of type %s has none", q.Type)
	case q.Type == TypeOrder && (q.Truth != "" || conditions > 0):
		bad(path+".truth", "the truth of an order is the run's: leave the expressions out")
	case q.Type == TypeSet && (q.Truth != "" || conditions < len(q.Choices)):
		bad(path+".choices", "of a set each choice has a condition, and there is no \"truth\"")
	case q.Type == TypeChoice && (q.Truth == "") == (conditions == 0), q.Type == TypeChoice && conditions > 0 && conditions < len(q.Choices):
		bad(path+".choices", "of a choice either each has a condition, or \"truth\" says the one that is right")
	case !list && q.Truth == "":
		bad(path, "no \"truth\"")
	case q.Truth != "":
		if err := r.checkExpr(q.Truth, q.At); err != nil {
			bad(path+".truth", "%w", err)
		}
	}
}

// truth computes the truth of q as the run shows it: an int, a float64, a string
// or a []string.
func (v *view) truth(q Question) (any, error) {
	r := v.graded()
	var at *trace.Event
	if q.At != "" {
		if at = r.first(q.At); at == nil {
			return nil, notHit(q.At)
		}
	}
	switch {
	case q.Type == TypeOrder:
		return orderOf(r, q)
	case q.Truth == "":
		return v.among(q, at, r)
	}
	val, err := v.eval(q.Truth, at, r)
	if err != nil {
		return nil, err
	}
	if err := fits(q, val); err != nil {
		return nil, err
	}
	return val, nil
}

// fits reports a truth that is no answer to the question: the lab's mistake.
func fits(q Question, val any) error {
	ok := false
	switch q.Type {
	case TypeNumber:
		ok = !math.IsNaN(expr.Float(val))
	case TypeAddress:
		_, ok = val.(int)
	case TypeSymbol:
		_, ok = val.(string)
	case TypeChoice:
		s, text := val.(string)
		if ok = text && slices.Contains(q.Names(), s); !ok {
			return fmt.Errorf("the truth of %s is %v, which is none of its choices", q.Name, val)
		}
	}
	if !ok {
		return fmt.Errorf("the truth of %s is %v, and no %s", q.Name, val, q.Type)
	}
	return nil
}

func orderOf(r round, q Question) (any, error) {
	names := q.Names()
	for _, n := range names {
		if r.first(n) == nil {
			return nil, notHit(n)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return r.first(a).Seq - r.first(b).Seq })
	return names, nil
}

// among returns the alternatives whose condition holds.
func (v *view) among(q Question, at *trace.Event, r round) (any, error) {
	out := []string{}
	for _, c := range q.Choices {
		val, err := v.eval(c.When, at, r)
		if err != nil {
			return nil, err
		}
		holds, ok := val.(bool)
		if !ok {
			return nil, fmt.Errorf("the condition of %q is %v, and neither true nor false", c.Name, val)
		}
		if holds {
			out = append(out, c.Name)
		}
	}
	if q.Type == TypeSet {
		return out, nil
	}
	if len(out) != 1 {
		return nil, fmt.Errorf("%d choices of %s hold, and one has to", len(out), q.Name)
	}
	return out[0], nil
}

// sameWord compares what a person chose: case and spaces do not count.
func sameWord(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}
