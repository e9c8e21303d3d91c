package selftest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// truths are what the questions of a lab ask for, as a run shows it.
func truths(t *trace.Trace, r grade.Rules) map[string]string {
	r.Questions, r.Answers = slices.Clone(r.Questions), grade.Answers{}
	for i, q := range r.Questions {
		r.Questions[i].Reveal = true
		r.Answers[q.Name] = grade.Answer{"": never(q)}
	}
	out := map[string]string{}
	for _, c := range grade.Grade(t, r).Checks {
		if c.Kind == verdict.KindQuestion && c.Expected != "" {
			out[c.Name] = c.Expected
		}
	}
	return out
}

// never is an answer that is right for no question of the type.
func never(q grade.Question) any {
	switch q.Type {
	case grade.TypeNumber:
		return 987654321
	case grade.TypeAddress:
		return 0x123
	case grade.TypeSet, grade.TypeOrder:
		return []string{"?"}
	}
	return "?"
}

// mistaken is a wrong answer that a student might give, where one is known to be
// wrong by what is right.
func mistaken(q grade.Question, right string) any {
	names := q.Names()
	switch q.Type {
	case grade.TypeChoice:
		return names[(slices.Index(names, right)+1)%len(names)]
	case grade.TypeSet:
		in := strings.Split(right, ", ")
		return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(in, n) })
	case grade.TypeOrder:
		order := strings.Split(right, " → ")
		slices.Reverse(order)
		return order
	}
	return never(q)
}

// Leaks returns what a student reads in the feedback on a program, with no answer right,
// that answers a question which the lab does not reveal. own is the trace of the lab's
// own program, and run that of the student's.
func Leaks(l labs.Lab, r grade.Rules, own, run *trace.Trace) (leaks []string) {
	right := truths(own, r)
	wrong, open := grade.Answers{}, grade.Answers{}
	for _, q := range r.Questions {
		wrong[q.Name] = grade.Answer{"": mistaken(q, right[q.Name])}
	}
	for _, answered := range []struct {
		how     string
		answers grade.Answers
	}{{"answered wrongly", wrong}, {"not answered", open}} {
		how, answers := answered.how, answered.answers
		shown := truths(run, r)
		r.Answers = answers
		res := grade.GradeSubmission(grade.Submitted{Rules: r, Trace: run, Reference: own})
		text := report.Feedback(verdict.NewDocument(res), r)
		for _, q := range r.Questions {
			if q.Reveal {
				continue
			}
			// What the student's own run shows may be another truth than the right one.
			for _, truth := range slices.Compact([]string{right[q.Name], shown[q.Name]}) {
				for _, line := range tells(l, q, truth, text) {
					leaks = append(leaks, fmt.Sprintf("the feedback tells the answer to %s, which is %s (%s): %s", q.Name, truth, how, strings.TrimSpace(line)))
				}
			}
		}
	}
	return leaks
}

// authored are the lines that the lab's author wrote for whoever reads the feedback,
// or the student: the question, what was answered, and the hint.
var authored = regexp.MustCompile(`^(# |- (✅|❌|➖) \*\*|  <br>(you answered|hint|read): )`)

// tells returns the lines of a feedback that tell a truth.
//
// A number below 256 is looked for as the value of a check alone, as pids, counts,
// scores and exit statuses stand everywhere. A single plain word ("none"), and what
// the lab itself is called ("kthread", "exec-life"), is looked for in the values and
// the names of checks, and what a task is called with the child's steps: programs
// print such words, commands and points are named so, and the handout is.
func tells(l labs.Lab, q grade.Question, truth, text string) (lines []string) {
	if truth == "" {
		return nil
	}
	text = strings.ReplaceAll(text, `\`, "")
	plain := truth == l.Name || regexp.MustCompile(`^[a-z]+$`).MatchString(truth)
	var path []string // the steps of the steps of the run
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := pathLine.FindStringSubmatch(line); m != nil {
			path = append(path, m[1])
		}
		if authored.MatchString(line) {
			continue
		}
		told := false
		switch {
		case q.Type == grade.TypeNumber:
			n, _ := strconv.Atoi(strings.Fields(truth)[0])
			told = phrase(line, strconv.Itoa(n)) || phrase(line, fmt.Sprintf("%#x", n))
			if n < 256 {
				told = value(line, strconv.Itoa(n))
			}
		case q.Type == grade.TypeOrder:
			told = inOrder(q, truth, word.FindAllString(line, -1))
		case q.Type == grade.TypeSet:
			told = truth != "none of them"
			for _, n := range q.Names() {
				told = told && phrase(line, n) == slices.Contains(strings.Split(truth, ", "), n)
			}
		case plain:
			check := regexp.MustCompile(`^- (✅|❌|➖ .*?:) `).ReplaceAllString(line, "")
			child := regexp.MustCompile(`the (child|newborn), [0-9]+\[` + truth + `\]`).MatchString(line)
			told = value(line, truth) || check != line && phrase(check, truth) || child
		default:
			told = phrase(line, truth)
		}
		if told {
			lines = append(lines, line)
		}
	}
	if q.Type == grade.TypeOrder && inOrder(q, truth, path) {
		lines = append(lines, "the steps of the run")
	}
	return lines
}

// inOrder reports whether words bring the points of an order as the truth has them.
func inOrder(q grade.Question, truth string, words []string) bool {
	var first []string
	for _, p := range words {
		if slices.Contains(q.Names(), p) && !slices.Contains(first, p) {
			first = append(first, p)
		}
	}
	return strings.Join(first, " → ") == truth
}

// value reports whether a line has a text as the whole value of a check.
func value(line, text string) bool {
	return regexp.MustCompile(`(expected|seen|observed|Expected:\*\*|Observed:\*\*):? ` + regexp.QuoteMeta(text) + `($|, seen)`).MatchString(line)
}

var (
	word     = regexp.MustCompile(`[A-Za-z0-9_]+`)
	pathLine = regexp.MustCompile("^[0-9]+\\. `([a-z0-9_]+)` by ")
)

// phrase reports whether words stand in a line by themselves.
func phrase(line, words string) bool {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_])` + regexp.QuoteMeta(words) + `($|[^A-Za-z0-9_])`).MatchString(line)
}
