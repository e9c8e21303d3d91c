package labs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	sentences "kernellab/harness/report/words"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Giveaway is a text that students see before they have answered a question rightly, and
// that seems to answer it.
type Giveaway struct {
	Question, Answer string
	Check            string // whose text it is; "" for a misconception of the question
	Field            string // name, why, expected, observed, or the wrong answer
	Text             string
}

func (g Giveaway) String() string {
	where := fmt.Sprintf("the %s of the check %q", g.Field, g.Check)
	if g.Check == "" {
		where = fmt.Sprintf("the misconception behind %q", g.Field)
	}
	return fmt.Sprintf("question %s: %s gives away that the answer is %s: %q", g.Question, where, g.Answer, g.Text)
}

// Giveaways looks for texts that give away the answer to a question of the lab: names,
// reasons and values of checks as a student sees them who has answered nothing, and
// misconceptions. It goes by the words of the answer, so it can miss one that is
// put in other words. t is a run of the lab's own program.
func (l Lab) Giveaways(t *trace.Trace) ([]Giveaway, error) {
	r := l.Rules(t.Header.Arch)
	r.Answers, r.AnswersOnly = grade.Answers{}, l.Submission.Program == submission.None
	res := grade.GradeSubmission(grade.Submitted{Rules: r, Trace: t, Reference: t})
	if res.Verdict == verdict.Error {
		return nil, fmt.Errorf("look for giveaways in %s: %s", l.Name, sentences.Result(res).Error)
	}
	shown := sentences.Result(redact.Shown(verdict.NewDocument(res), verdict.Visible).Results[0])
	var out []Giveaway
	for _, q := range r.Questions {
		truth, err := grade.Truth(t, r, q.Name)
		if err != nil || q.Reveal {
			continue // not asked on this kernel, or no secret
		}
		a := answer{q, truth}
		for i, c := range shown.Checks {
			if c.Kind != "" {
				continue
			}
			mine, other := r.Evidence(res.Checks[i].Name, q.Name)
			near := slices.ContainsFunc(mine, func(p string) bool { return slices.Contains(other, p) })
			texts := map[string]string{"name": c.Name, "why": c.Why}
			if c.Want == nil { // else it is a list of points, or of the program's output
				texts["expected"], texts["observed"] = c.Expected, c.Observed
			}
			for field, text := range texts {
				if a.in(text, near) {
					out = append(out, Giveaway{q.Name, fmt.Sprint(truth), c.Name, field, text})
				}
			}
		}
		for _, m := range q.Wrong {
			if q.Type != grade.TypeSet && q.Type != grade.TypeOrder && !sameText(m.Answer, fmt.Sprint(truth)) && a.told(m.Says) {
				out = append(out, Giveaway{Question: q.Name, Answer: fmt.Sprint(truth), Field: m.Answer, Text: m.Says})
			}
		}
	}
	slices.SortFunc(out, func(a, b Giveaway) int { return strings.Compare(a.String(), b.String()) })
	return out, nil
}

func sameText(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// answer is a question with its right answer.
type answer struct {
	grade.Question
	truth any
}

// in reports whether a text about the run gives the answer away; near says that it is
// about the same points as the question.
func (a answer) in(text string, near bool) bool {
	if text == "" || text == verdict.Withheld || !a.told(text) {
		return false
	}
	if n, ok := a.truth.(int); ok && (n >= 256 || n < 0) {
		return true
	}
	if near || a.Type == grade.TypeSymbol {
		return true
	}
	about := 0
	of := stems(text)
	for w := range stems(a.Prompt) {
		if of[w] {
			about++
		}
	}
	return about >= 3
}

// told reports whether a text has the words of the answer.
func (a answer) told(text string) bool {
	of := stems(text)
	switch truth := a.truth.(type) {
	case int:
		return slices.ContainsFunc(tokens(text), func(w string) bool {
			return w == strconv.Itoa(truth) || w == trace.Word(truth).String()
		})
	case string:
		if a.Type == grade.TypeSymbol {
			return slices.Contains(tokens(text), strings.ToLower(truth))
		}
		return all(a.distinct(truth), of)
	case []string:
		// All of a set's and none of the others.
		for _, c := range a.Choices {
			if a.Type != grade.TypeSet || all(stems(c.Name), of) != slices.Contains(truth, c.Name) {
				return false
			}
		}
		return len(truth) > 0
	}
	return false
}

// distinct returns the words of a choice that are in none of the others.
func (a answer) distinct(choice string) map[string]bool {
	out := stems(choice)
	for _, c := range a.Choices {
		if c.Name != choice {
			for w := range stems(c.Name) {
				delete(out, w)
			}
		}
	}
	if len(out) == 0 {
		return stems(choice)
	}
	return out
}

func all(words, of map[string]bool) bool {
	for w := range words {
		if !of[w] {
			return false
		}
	}
	return len(words) > 0
}

func tokens(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
}

// fillers are words that say nothing of what a sentence is about.
const fillers = " a an the of to in on at by is are was it its as and or not no that this which what who for from with when where then than does do has have s t be may "

// stems returns the words of a text that say something, without their endings. A function's
// name is one word, and a constant's several.
func stems(text string) map[string]bool {
	out := map[string]bool{}
	for _, token := range tokens(text) {
		parts := []string{token}
		if strings.Contains(text, strings.ToUpper(token)) {
			parts = strings.Split(token, "_")
		}
		for _, w := range parts {
			if w == "" || strings.Contains(fillers, " "+w+" ") {
				continue
			}
			for _, end := range []string{"ing", "ed", "es", "s"} {
				if cut, ok := strings.CutSuffix(w, end); ok && len(cut) > 2 {
					w = cut
					break
				}
			}
			out[strings.TrimSuffix(w, "e")] = true
		}
	}
	return out
}
