package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/schematest"
)

// askedClass is a class with answers to two questions, on two architectures.
func askedClass() report.Class {
	question := func(name, typ, answer string, mark verdict.Verdict, misconceptions ...string) verdict.Check {
		score := map[verdict.Verdict]int{verdict.Pass: 2}[mark]
		return verdict.Check{
			Kind: verdict.KindQuestion, Name: name, Type: typ, Prompt: "What about " + name + "?",
			Verdict: mark, Observed: answer, Score: score, MaxScore: 2, Misconceptions: misconceptions,
		}
	}
	open := func(name, kind string) verdict.Check {
		c := question(name, "choice", "", verdict.Fail)
		c.Got = &verdict.Fact{Case: kind}
		return c
	}
	c := report.Class{Lab: "fork-new"}
	add := func(on string, checks ...verdict.Check) {
		mark := verdict.Fail
		if on == "" {
			mark = verdict.Error
		}
		var results []verdict.Result
		for _, arch := range strings.Fields("x86_64 " + on) {
			results = append(results, verdict.Result{Lab: "fork-new", Arch: arch, Verdict: mark, Error: map[bool]string{true: "no boot"}[on == ""], Checks: checks, MaxScore: 4})
		}
		c.Students = append(c.Students, report.Graded{Student: fmt.Sprintf("s%d", len(c.Students)), Attempts: 1, Document: verdict.NewDocument(results...)})
	}
	const both = "riscv64"
	easy, hard := question("easy", "choice", "its parent's", verdict.Pass), question("who-frees", "choice", "its parent's", verdict.Pass)
	own := question("who-frees", "choice", "its own", verdict.Fail, "A task can not free the stack that it runs on.")
	add(both, easy, hard)
	add(both, easy, own)
	add(both, easy, own)
	add(both, easy, question("who-frees", "choice", "=cmd\x1b[2J|x", verdict.Fail))
	add(both, open("easy", verdict.CaseNotAnswered), open("who-frees", verdict.CaseNotUnderstood))
	add("", easy, own) // not graded
	// Right on one architecture, and wrong on the other.
	split := report.Graded{Student: "split", Attempts: 1, Document: verdict.NewDocument(
		verdict.Result{Lab: "fork-new", Arch: "x86_64", Verdict: verdict.Pass, Checks: []verdict.Check{easy, hard}, MaxScore: 4},
		verdict.Result{Lab: "fork-new", Arch: "riscv64", Verdict: verdict.Fail, Checks: []verdict.Check{easy, own}, MaxScore: 4},
	)}
	skipped := question("who-frees", "choice", "no stop at release_task", verdict.Skip)
	c.Students = append(c.Students, split)
	add(both, easy, skipped)
	return c
}

func TestClassQuestions(t *testing.T) {
	c := askedClass()
	s := c.Summary()
	want := []report.QuestionRate{
		{
			Name: "who-frees", Prompt: "What about who-frees?", Type: "choice", Graded: 6, Right: 1, Percent: 16.7, NotUnderstood: 1, NotGraded: 1,
			Why: []report.Count{{Text: "no stop at release_task", Students: 1}},
			Wrong: []report.WrongAnswer{
				{Answer: "its own", Students: 3, Misconceptions: []string{"A task can not free the stack that it runs on."}},
				{Answer: `=cmd\x1b[2J|x`, Students: 1, Misconceptions: []string{}},
			},
			Misconceptions: []report.Count{{Text: "A task can not free the stack that it runs on.", Students: 3}},
		},
		{
			Name: "easy", Prompt: "What about easy?", Type: "choice", Graded: 7, Right: 6, Percent: 85.7, Unanswered: 1,
			Why: []report.Count{}, Wrong: []report.WrongAnswer{}, Misconceptions: []report.Count{},
		},
	}
	if diff := cmp.Diff(want, s.Questions); diff != "" {
		t.Errorf("questions -want +got:\n%s", diff)
	}
	var b strings.Builder
	if err := s.Encode(&b); err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "class.schema.json").Check(t, b.String()); err != nil {
		t.Error(err)
	}
	for i := range c.Students {
		c.Students[i].Trim()
	}
	if diff := cmp.Diff(s.Questions, c.Summary().Questions); diff != "" {
		t.Errorf("trimming changes the questions:\n%s", diff)
	}
	for _, format := range []string{report.FormatText, report.FormatMarkdown} {
		b.Reset()
		if err := report.WriteClass(&b, format, askedClass(), report.Style{Width: 100}); err != nil {
			t.Fatal(err)
		}
		golden(t, "class-questions."+format, b.String())
	}
}
