package labs_test

import (
	"slices"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// recorded is a run of a lab's own program.
func recorded(t testing.TB, l labs.Lab, arch string) *trace.Trace {
	t.Helper()
	return tracetest.Recorded(t, "../harness/recording/testdata/"+l.Name+"."+arch+".jsonl.gz")
}

// each runs a test for each lab that asks questions, on each architecture.
func each(t *testing.T, test func(t *testing.T, l labs.Lab, r grade.Rules, tr *trace.Trace)) {
	for _, l := range all(t) {
		for _, a := range arch.Names() {
			if len(l.Questions) > 0 {
				t.Run(l.Name+" "+a, func(t *testing.T) { test(t, l, l.Rules(a), recorded(t, l, a)) })
			}
		}
	}
}

// answers are the right ones, and ones in which nothing is right.
func answers(t *testing.T, r grade.Rules, tr *trace.Trace) (right, wrong grade.Answers) {
	t.Helper()
	right, wrong = grade.Answers{}, grade.Answers{}
	for _, q := range r.Questions {
		truth, err := grade.Truth(tr, r, q.Name)
		if err != nil {
			t.Fatalf("%s: %v", q.Name, err)
		}
		bad := any("schedule")
		switch truth := truth.(type) {
		case int:
			bad = truth + 1000
		case []string:
			if q.Type == grade.TypeOrder {
				list := slices.Clone(truth)
				slices.Reverse(list)
				bad = list
				break
			}
			bad = slices.DeleteFunc(q.Names(), func(n string) bool { return slices.Contains(truth, n) })
		case string:
			if i := slices.IndexFunc(q.Names(), func(n string) bool { return n != truth }); i >= 0 {
				bad = q.Names()[i]
			}
		}
		right[q.Name], wrong[q.Name] = grade.Answer{"": truth}, grade.Answer{"": bad}
	}
	return right, wrong
}

// TestMarks checks what the parts of a submission score in every lab.
func TestMarks(t *testing.T) {
	each(t, func(t *testing.T, l labs.Lab, r grade.Rules, tr *trace.Trace) {
		if res := grade.Grade(tr, r); !res.Passed() || res.Score != 40 || res.MaxScore != 40 {
			t.Errorf("a run: %s %d/%d", res.Verdict, res.Score, res.MaxScore)
		}
		right, wrong := answers(t, r, tr)
		r.AnswersOnly = l.Submission.Program == submission.None
		of := func(what string, given grade.Answers, tr *trace.Trace, want int) {
			r.Answers = given
			res := grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: recorded(t, l, r.Arch)})
			if res.Score != want || res.MaxScore != 100 || res.Passed() != (want == 100) {
				t.Errorf("%s: %s %d/%d, want %d/100: %+v", what, res.Verdict, res.Score, res.MaxScore, want, res.Findings)
			}
		}
		program, all := 40, 60
		if r.AnswersOnly {
			program, all = 0, 100
		}
		of("all right", right, tr, 100)
		of("all answers wrong", wrong, tr, program)
		of("no answers", grade.Answers{}, tr, program)
		of("no program", right, nil, all)
		of("nothing", wrong, nil, 0)
	})
}

// TestMarksOfAFork checks that a program that only forks and waits scores little.
func TestMarksOfAFork(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arch.Names() {
		r, tr := l.Rules(a), tracetest.Fork(a)
		_, r.Answers = answers(t, r, tr)
		tracetest.SetExit(tr, trace.Exit{})
		res := grade.Grade(tr, r)
		if res.Verdict != verdict.Fail || res.Score != 32 || res.MaxScore != 100 {
			t.Errorf("%s: %s %d/%d, want fail 32/100", a, res.Verdict, res.Score, res.MaxScore)
		}
	}
}

// TestQuestionsAsked checks the questions of each lab: enough of them, most of them to
// be thought about, and a sentence for each wrong choice.
func TestQuestionsAsked(t *testing.T) {
	each(t, func(t *testing.T, l labs.Lab, r grade.Rules, tr *trace.Trace) {
		kinds := map[string]int{}
		for i, q := range l.Questions {
			kinds[q.Kind]++
			truth, err := grade.Truth(tr, r, q.Name)
			if err != nil {
				t.Errorf("%s: %v", q.Name, err)
			}
			if q.Type != grade.TypeChoice && q.Type != grade.TypeSet {
				if len(q.Wrong) == 0 {
					t.Errorf("%s has no wrong answer with a misconception", q.Name)
				}
				continue
			}
			for _, name := range r.Questions[i].Names() {
				told := slices.ContainsFunc(q.Wrong, func(m grade.Misconception) bool { return m.Answer == name })
				if !told && (q.Type == grade.TypeSet || name != truth) {
					t.Errorf("%s: nothing says what is behind %q", q.Name, name)
				}
			}
		}
		if len(l.Questions) < 6 || kinds[labs.Thought] <= kinds[labs.Seen] {
			t.Errorf("%d questions, %d of them to be thought about", len(l.Questions), kinds[labs.Thought])
		}
	})
}

// TestGiveaways checks that no text gives an answer away, and that one that does is found.
func TestGiveaways(t *testing.T) {
	each(t, func(t *testing.T, l labs.Lab, _ grade.Rules, tr *trace.Trace) {
		found, err := l.Giveaways(tr)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range found {
			t.Error(g)
		}
	})
	for name, change := range map[string][2]string{
		"who-frees": {"name: who releases the child's task_struct", "name: the parent reaps its child"},
		"zero":      {"name: fork returns 0 in the child", "name: copy_thread stored 0 in the saved registers of the child, which it returns"},
		"no-signal": {"No signal is a valid choice; threads", "But a plain wait4 would not find the child; threads"},
	} {
		bad := strings.Replace(forkYAML(t), change[0], change[1], 1)
		all, err := labs.Load(folder(bad))
		if err != nil {
			t.Fatal(err)
		}
		found, err := all[0].Giveaways(recorded(t, all[0], "x86_64"))
		if err != nil || len(found) != 1 || found[0].Question != name {
			t.Errorf("%q: %v, %v", change[1], found, err)
		}
	}
}
