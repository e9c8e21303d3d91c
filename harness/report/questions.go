package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/verdict"
)

// QuestionRate is the result of a question in the class. A student's answer is right if
// it is on every kernel.
type QuestionRate struct {
	Name   string `json:"name"`
	Prompt string `json:"prompt"`
	Type   string `json:"type"`
	// Graded are the students whose answer, or whose lack of one, could be graded.
	Graded     int     `json:"graded"`
	Right      int     `json:"right"`
	Percent    float64 `json:"percent"` // right of graded
	Unanswered int     `json:"unanswered"`
	// NotUnderstood are answers that are none of the question's type.
	NotUnderstood int `json:"not_understood"`
	// NotGraded are students whose submission was graded, and whose answer was not: Why
	// has the reasons.
	NotGraded int     `json:"not_graded"`
	Why       []Count `json:"why"`
	// Wrong are wrong answers, and Misconceptions what may be behind them, the commonest
	// first.
	Wrong          []WrongAnswer `json:"wrong"`
	Misconceptions []Count       `json:"misconceptions"`
}

// WrongAnswer is a wrong answer of some students, with what may be behind it.
type WrongAnswer struct {
	Answer         string   `json:"answer"`
	Students       int      `json:"students"`
	Misconceptions []string `json:"misconceptions"`
}

// Count is a text and how many students it is about.
type Count struct {
	Text     string `json:"text"`
	Students int    `json:"students"`
}

// mostAnswers bounds the lists of a question.
const mostAnswers = 10

// tallied counts texts, each once for a student.
type tallied map[string]map[string]bool // student by text

func (t tallied) add(text, student string) {
	if t[text] == nil {
		t[text] = map[string]bool{}
	}
	t[text][student] = true
}

// counts returns the commonest texts.
func (t tallied) counts() []Count {
	out := []Count{}
	for text, students := range t {
		out = append(out, Count{text, len(students)})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Students, a.Students), strings.Compare(a.Text, b.Text))
	})
	return out[:min(len(out), mostAnswers)]
}

// asked is a question while the class is counted.
type asked struct {
	QuestionRate
	points            int
	wrong, mis, why   tallied
	behind            map[string][]string // misconceptions, by answer
	graded, notGraded map[string]bool     // students
	failed            map[string]bool     // students without a right answer
}

// questions returns the questions of the class. What most needs teaching comes first: the
// smallest share of right answers, and of those the most points.
func (c Class) questions() []QuestionRate {
	all := map[string]*asked{}
	var order []*asked
	for i, g := range c.Students {
		student := fmt.Sprint(i)
		for _, r := range g.Document.Results {
			if g.Verdict() == verdict.Error {
				continue
			}
			for _, check := range r.Checks {
				if check.Kind != verdict.KindQuestion {
					continue
				}
				q := all[check.Name]
				if q == nil {
					q = &asked{QuestionRate: QuestionRate{Name: plain(check.Name), Prompt: plain(check.Prompt), Type: check.Type}}
					q.wrong, q.mis, q.why, q.behind = tallied{}, tallied{}, tallied{}, map[string][]string{}
					q.graded, q.notGraded, q.failed = map[string]bool{}, map[string]bool{}, map[string]bool{}
					all[check.Name] = q
					order = append(order, q)
				}
				q.count(student, check)
			}
		}
	}
	out := []QuestionRate{}
	slices.SortStableFunc(order, func(a, b *asked) int {
		return cmp.Or(cmp.Compare(a.rate(), b.rate()), cmp.Compare(b.points, a.points))
	})
	for _, q := range order {
		out = append(out, q.QuestionRate)
	}
	return out
}

// count counts a student's answer on one kernel.
func (q *asked) count(student string, c verdict.Check) {
	q.points = max(q.points, c.MaxScore)
	was := verdict.Fact{}
	if c.Got != nil {
		was = *c.Got
	}
	if c.Verdict == verdict.Skip {
		q.notGraded[student] = true
		q.why.add(plain(c.Observed), student)
		return
	}
	first := !q.failed[student]
	q.graded[student] = true
	if c.Verdict == verdict.Pass {
		return
	}
	q.failed[student] = true
	switch {
	case was.Case == verdict.CaseNotAnswered:
		if first {
			q.Unanswered++
		}
	case was.Case == verdict.CaseNotUnderstood:
		if first {
			q.NotUnderstood++
		}
	default:
		answer := plain(strings.Join(strings.Fields(c.Observed), " "))
		q.wrong.add(answer, student)
		var said []string
		for _, m := range c.Misconceptions {
			said = append(said, plain(m))
			q.mis.add(plain(m), student)
		}
		if len(q.behind[answer]) == 0 {
			q.behind[answer] = said
		}
	}
}

// rate completes the numbers and returns the share of right answers.
func (q *asked) rate() float64 {
	for s := range q.graded {
		delete(q.notGraded, s) // graded on another kernel
	}
	q.Graded, q.NotGraded = len(q.graded), len(q.notGraded)
	q.Right = q.Graded - len(q.failed)
	q.Percent = percent(float64(q.Right), float64(q.Graded))
	q.Why, q.Misconceptions, q.Wrong = q.why.counts(), q.mis.counts(), []WrongAnswer{}
	for _, a := range q.wrong.counts() {
		q.Wrong = append(q.Wrong, WrongAnswer{a.Text, a.Students, append([]string{}, q.behind[a.Text]...)})
	}
	if q.Graded == 0 {
		return 200 // nothing is known: last
	}
	return q.Percent
}

// few bounds the wrong answers of a question that are shown to people.
const few = 3

// headline returns a question's numbers.
func (q QuestionRate) headline() string {
	if q.Graded == 0 {
		return fmt.Sprintf("%s: not graded, for %s", q.Name, plural(q.NotGraded, "student"))
	}
	return fmt.Sprintf("%s: %.0f %% right, %d of %d", q.Name, q.Percent, q.Right, q.Graded)
}

// told returns lines about what was answered instead: the commonest wrong answers with the
// misconception behind each. Of lists, which are rarely the same, the commonest
// misconceptions.
func (q QuestionRate) told() []string {
	var lines []string
	if lists := q.Type == verdict.TypeOrder || q.Type == verdict.TypeSet; lists && len(q.Misconceptions) > 0 {
		for _, m := range q.Misconceptions[:min(few, len(q.Misconceptions))] {
			lines = append(lines, fmt.Sprintf("%d× %s", m.Students, m.Text))
		}
	} else {
		for _, a := range q.Wrong[:min(few, len(q.Wrong))] {
			line := fmt.Sprintf("%d× “%s”", a.Students, shortened(a.Answer))
			if len(a.Misconceptions) > 0 {
				line += ": " + strings.Join(a.Misconceptions, " ")
			}
			lines = append(lines, line)
		}
	}
	return append(lines, q.unclear()...)
}

// unclear returns lines about who gave no answer, or none that could be graded.
func (q QuestionRate) unclear() (lines []string) {
	if q.Unanswered > 0 {
		lines = append(lines, fmt.Sprintf("%d× not answered", q.Unanswered))
	}
	if q.NotUnderstood > 0 {
		lines = append(lines, fmt.Sprintf("%d× not an answer of this type", q.NotUnderstood))
	}
	for _, w := range q.Why[:min(few, len(q.Why))] {
		lines = append(lines, fmt.Sprintf("%d× not graded: %s", w.Students, w.Text))
	}
	return lines
}
