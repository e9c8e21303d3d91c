package selftest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
	"kernellab/labs"
)

// The tests that need no guest.
const (
	testLoads   = "it loads"
	testHandout = "every stop that the handout names exists"
	testAsked   = "every wrong choice of a question has its sentence"
	testWrong   = "the wrong programs are complete"
)

// Static makes the tests that need no guest.
func Static(l labs.Lab) []Line {
	lines := []Line{line(testLoads, nil), line(testHandout, handout(l)), line(testAsked, asked(l))}
	var problems []string
	if _, err := Wrong(l); err != nil {
		problems = strings.Split(err.Error(), "\n")
	}
	return append(lines, line(testWrong, problems))
}

func line(test string, problems []string) Line {
	if len(problems) > 0 {
		return Line{Test: test, Verdict: verdict.Fail, Problems: problems}
	}
	return Line{Test: test, Verdict: verdict.Pass, Problems: []string{}}
}

var (
	// boldName is how handouts write the name of a stop, where they come to it.
	boldName = regexp.MustCompile("\\*\\*`([A-Za-z_][A-Za-z0-9_]*)`\\*\\*")
	// stopFlag is a flag of lab that names a stop.
	stopFlag = regexp.MustCompile(`\blab [^\n]*?--(?:at|step)[ =]([A-Za-z_][A-Za-z0-9_]*)`)
	// heading is a heading, and link a link to one in the same text.
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	link    = regexp.MustCompile(`\]\(#([^)\s]*)\)`)
	// glossary begins what is not of the lab.
	glossary = regexp.MustCompile(`(?m)^## Glossary$`)
)

// handout says which stops the handout names that the lab does not have: names in bold
// and backquotes, those of --at and --step, and links to headings. What follows the
// heading Glossary is not of the lab.
func handout(l labs.Lab) (problems []string) {
	text := l.Handout
	if at := glossary.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	known := stops(l)
	check := func(name, how string) {
		if !slices.Contains(known, name) {
			problems = append(problems, fmt.Sprintf("README.md says %s, and %s is no stop of the lab%s", how, name, nearest.Hint(name, known)))
		}
	}
	for _, m := range boldName.FindAllStringSubmatch(text, -1) {
		check(m[1], m[0])
	}
	for _, m := range stopFlag.FindAllStringSubmatch(text, -1) {
		if l, err := labs.Get(named(m[0])); err == nil && slices.Contains(stops(l), m[1]) {
			continue // of the lab that the command names
		}
		check(m[1], strings.TrimSpace(m[0]))
	}
	var anchors []string
	for _, m := range heading.FindAllStringSubmatch(l.Handout, -1) {
		anchors = append(anchors, anchor(m[1]))
	}
	for _, m := range link.FindAllStringSubmatch(l.Handout, -1) {
		if !slices.Contains(anchors, m[1]) {
			problems = append(problems, fmt.Sprintf("README.md has a link to #%s, and no such heading%s", m[1], nearest.Hint(m[1], anchors)))
		}
	}
	return problems
}

// named returns the lab that a command names.
func named(command string) string {
	for _, word := range strings.Fields(command)[1:] {
		if _, err := labs.Get(word); err == nil {
			return word
		}
	}
	return ""
}

// anchor is how GitHub makes the anchor of a heading.
func anchor(heading string) string {
	keep := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(strings.TrimSpace(keep), " ", "-")
}

// stops are the names of the lab's points, and of the places that they are at.
func stops(l labs.Lab) []string {
	var names []string
	for _, a := range arch.Names() {
		for _, p := range l.Points(a) {
			names = append(names, p.Name, p.Place)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// asked says which choices of questions have no sentence. One may have none: the right
// one, which only a run shows.
func asked(l labs.Lab) (problems []string) {
	for _, q := range l.Rules(arch.Names()[0]).Questions {
		if without := silent(q); len(without) > 1 {
			problems = append(problems, fmt.Sprintf("%s has nothing to say of %s: write it under \"wrong\"", q.Name, strings.Join(without, ", ")))
		}
	}
	return problems
}

// silent returns the choices of a question that have no sentence, where one has to be
// taken.
func silent(q grade.Question) (without []string) {
	if q.Type != grade.TypeChoice {
		return nil
	}
	for _, c := range q.Names() {
		if !slices.ContainsFunc(q.Wrong, func(m grade.Misconception) bool { return strings.EqualFold(m.Answer, c) }) {
			without = append(without, c)
		}
	}
	return without
}

// unexplained says which choices have no sentence, and are wrong by a run of the lab's own
// program.
func unexplained(r grade.Rules, own *trace.Trace) (problems []string) {
	right := truths(own, r)
	for _, q := range r.Questions {
		without := slices.DeleteFunc(silent(q), func(c string) bool { return right[q.Name] == "" || strings.EqualFold(c, right[q.Name]) })
		if len(without) == 1 { // of more, the handout's tests tell
			problems = append(problems, fmt.Sprintf("%s: %s is wrong here, and has no sentence under \"wrong\"", q.Name, without[0]))
		}
	}
	return problems
}
