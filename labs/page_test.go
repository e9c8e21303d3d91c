package labs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"kernellab/labs"
)

// item matches a line that begins an item of a list, or ends in a question.
var item = regexp.MustCompile(`(?m)^\s*([0-9]+[.)]|[-*+]) |\?\s*$`)

// What there is to predict is one list, the lab's questions: a handout says how they are
// asked and has no list of its own.
func TestOneListOfPredictions(t *testing.T) {
	for _, l := range all(t) {
		if len(l.Questions) == 0 {
			continue
		}
		_, section, ok := strings.Cut(l.Handout, "\n## Predict\n")
		section, _, _ = strings.Cut(section, "\n## ")
		if !ok || !strings.Contains(section, "\n    lab predict "+l.Name+"\n") || !strings.Contains(section, "`lab show "+l.Name+"`") {
			t.Errorf("%s: the handout has no section \"Predict\" with lab predict %s and `lab show %s`:\n%s", l.Name, l.Name, l.Name, section)
		}
		if found := item.FindString(section); found != "" {
			t.Errorf("%s: the section \"Predict\" has a list of its own, or a question: %q", l.Name, found)
		}
	}
}

// folded is a text with its lines joined.
func folded(s string) string { return strings.Join(strings.Fields(s), " ") }

// The page of a lab has its questions where one predicts, and its variations where one
// runs it.
func TestPage(t *testing.T) {
	for _, l := range all(t) {
		page := l.Page()
		var left []string
		for _, line := range strings.Split(l.Handout, "\n") {
			if !strings.Contains(page, line) {
				left = append(left, line)
			}
		}
		if len(left) > 0 {
			t.Errorf("%s: the page lacks lines of the handout: %q", l.Name, left)
		}
		section := func(name string) string {
			_, s, _ := strings.Cut(page, "\n## "+name+"\n")
			s, _, _ = strings.Cut(s, "\n## ")
			return folded(s)
		}
		predict, run := section("Predict"), section("Run")
		for _, q := range l.Questions {
			if strings.Count(predict, folded(q.Prompt)) != 1 {
				t.Errorf("%s: %s is not asked once:\n%s", l.Name, q.Name, predict)
			}
			for _, c := range q.Choices {
				if !strings.Contains(predict, "- "+folded(c.Name)) {
					t.Errorf("%s: %s lacks the choice %q", l.Name, q.Name, c.Name)
				}
			}
		}
		for _, w := range l.WhatIfs {
			if !strings.Contains(run, "lab run "+l.Name+" --what-if "+w.Name+" "+folded(w.Means)) {
				t.Errorf("%s: the variation %s is not listed:\n%s", l.Name, w.Name, run)
			}
		}
	}
	bare := labs.Lab{Name: "x", Handout: "# X\n", Questions: []labs.Question{{Prompt: "Why?"}}, WhatIfs: []labs.WhatIf{{Name: "y", Means: "It is so."}}}
	if got := bare.Page(); !slices.Equal(strings.Fields(got), strings.Fields("# X ## Predict 1. Why? ## Run To run a variation and see what is different: lab run x --what-if y It is so.")) {
		t.Errorf("without sections: %q", got)
	}
}
