package grade_test

import (
	"slices"
	"strings"
	"testing"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// TestFailuresGiveNothingAway grades a run in which checks fail that are about what
// the questions ask for: neither the value that the program should have come to nor
// that of its own run is told, and what is wrong elsewhere is.
func TestFailuresGiveNothingAway(t *testing.T) {
	r := asking(grade.Answers{"path": of([]string{"kernel_clone", "sys_clone", "copy_thread"}), "signal": of("SIGKILL")})
	r.Checks = []grade.CheckRule{
		{Name: "the distance is 4711", At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "4711"},
		{Name: "the signal", Observed: "signal(kernel_clone.read.exit_signal)", Expected: `"SIGCHLD"`},
		{Name: "another value", At: "ret_from_fork", Observed: "read.user_ret", Expected: "777"},
		{Name: "it is SIGCHLD that comes", At: "ret_from_fork", That: "true"},
	}
	tr := tracetest.Fork("x86_64")
	tracetest.SetRead(tr, "kernel_clone", "exit_signal", 9)
	res := judgeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: tracetest.Fork("x86_64")})
	find := func(name string) verdict.Check {
		t.Helper()
		i := slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("no check %q", name)
		}
		return res.Checks[i]
	}
	if c := find("the distance is 4711"); c.Verdict != verdict.Fail || c.Expected != "(a question asks for it)" || c.Observed != c.Expected {
		t.Errorf("the distance: %+v", c)
	}
	if c := find("another value"); c.Expected != "777" || c.Observed != "0" {
		t.Errorf("another value, which no question is about: %+v", c)
	}
	for _, f := range res.Findings {
		if strings.Contains(f.Message, "expected 4711") || strings.Contains(f.Message, "168") {
			t.Errorf("the finding tells: %s", f.Message)
		}
	}
	shown := words.Result(redact.Shown(verdict.NewDocument(res), verdict.Visible).Results[0])
	if shown.Score != res.Score || shown.MaxScore != res.MaxScore || len(shown.Steps) != len(res.Steps) || len(shown.Ordered) != 1 {
		t.Errorf("what is shown has score %d/%d, %d steps and the orders %q", shown.Score, shown.MaxScore, len(shown.Steps), shown.Ordered)
	}
	for _, c := range shown.Checks[:2] {
		if strings.Contains(c.Expected, "→") || strings.Contains(c.Observed, "→") {
			t.Errorf("%s tells an order: %+v", c.Name, c)
		}
	}
	for _, c := range shown.Checks {
		if c.Kind == "" && (strings.Contains(c.Name, "4711") && c.Expected == "4711" || strings.Contains(c.Expected+c.Observed, "arch_dup_task_struct")) {
			t.Errorf("shown: %+v", c)
		}
	}
}

// TestRightAnswersAreNoSecret checks that what a student knows is told.
func TestRightAnswersAreNoSecret(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	r := asking(right())
	shown := words.Result(redact.Shown(verdict.NewDocument(judge(tr, r)), verdict.Visible).Results[0])
	if len(shown.Ordered) > 0 || len(shown.Steps) == 0 || shown.Steps[3].Point != "dup_task_struct" {
		t.Errorf("orders %q, steps %+v", shown.Ordered, shown.Steps)
	}
}

// A value that a question asks for is withheld from a check that holds, also where only
// the observed value has it, and from one that does not.
func TestChecksWithholdAnswers(t *testing.T) {
	r := asking(grade.Answers{})
	r.Checks = append(r.Checks, grade.CheckRule{Name: "planted", At: "ret_from_fork", That: "pc == wake_up_new_task.read.start", Observed: "pc", Format: "address"})
	check := func(res verdict.Result, name string) verdict.Check {
		return res.Checks[slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Name == name && c.Kind == "" })]
	}
	tr := tracetest.Fork("x86_64")
	if c := check(judge(tr, r), "planted"); c.Verdict != verdict.Pass || c.Observed != verdict.Withheld {
		t.Errorf("a check that holds is %s: observed %q", c.Verdict, c.Observed)
	}
	tracetest.SetRead(tr, "wake_up_new_task", "start", 0x1234)
	if c := check(judge(tr, r), "start"); c.Verdict != verdict.Fail || c.Expected != verdict.Withheld {
		t.Errorf("a check that does not hold is %s: expected %q, observed %q", c.Verdict, c.Expected, c.Observed)
	}
}

// Of a check that fails, what is an answer is withheld, and nothing else. What the
// program should have come to is marked wherever it stands.
func TestFailuresWithholdWhatAnswers(t *testing.T) {
	const withheld = verdict.Withheld
	for name, tt := range map[string]struct {
		check              grade.CheckRule
		expected, observed string
	}{
		"the value of a question":          {grade.CheckRule{At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "4711"}, withheld, withheld},
		"a small value of a question":      {grade.CheckRule{At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "12"}, withheld, withheld},
		"another value":                    {grade.CheckRule{At: "ret_from_fork", Observed: "read.user_ret", Expected: "777"}, "777", "0"},
		"a number that happens to be it":   {grade.CheckRule{At: "ret_from_fork", Observed: "read.user_ret + 168", Expected: "1"}, "1", "168"},
		"an address of a question":         {grade.CheckRule{Observed: "wake_up_new_task.read.start", Expected: "1", Format: "address"}, "0x1", withheld},
		"all of a set, observed":           {grade.CheckRule{At: "ret_from_fork", Observed: `"pid, stack"`, Expected: `"none"`}, "none", withheld},
		"all of a set, expected":           {grade.CheckRule{At: "ret_from_fork", Observed: `"none"`, Expected: `"pid, stack"`}, withheld, "none"},
		"a part of a set":                  {grade.CheckRule{At: "ret_from_fork", Observed: `"pid"`, Expected: `"none"`}, "none", "pid"},
		"the answer to a revealed one":     {grade.CheckRule{At: "ret_from_fork", Observed: `"the parent"`, Expected: `"none"`}, "none", "the parent"},
		"about a set, and another's value": {grade.CheckRule{At: "ret_from_fork", Observed: "task.pid", Expected: "sys_clone.task.pid"}, withheld, "84"},
	} {
		r := asking(grade.Answers{})
		tt.check.Name = name
		r.Checks = []grade.CheckRule{tt.check, {Name: "not 4711, 777 or 12", At: "ret_from_fork", That: "true"}}
		res := judge(tracetest.Fork("x86_64"), r)
		find := func(name string) verdict.Check {
			return res.Checks[slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Kind == "" && c.Name == name })]
		}
		if c := find(name); c.Verdict != verdict.Fail || c.Expected != tt.expected || c.Observed != tt.observed {
			t.Errorf("%s: %s, expected %q and observed %q, want %q and %q", name, c.Verdict, c.Expected, c.Observed, tt.expected, tt.observed)
		}
		mentions := find("not 4711, 777 or 12").Mentions
		if name != "the value of a question" {
			if len(mentions) > 0 {
				t.Errorf("%s: the other check is marked: %+v", name, mentions)
			}
			continue
		}
		if len(mentions) != 1 || mentions[0].Question != "distance" || !mentions[0].Always {
			t.Errorf("%s: the other check is marked %+v, want the question distance, always", name, mentions)
		}
	}
}

// The stacks of the steps answer questions about numbers, and no others.
func TestNumbersWithholdStacks(t *testing.T) {
	r := asking(grade.Answers{})
	all := r.Questions
	for name, want := range map[string]bool{"distance": false, "own": true} {
		r.Questions = slices.DeleteFunc(slices.Clone(all), func(q grade.Question) bool { return q.Name != name })
		tr := tracetest.Fork("x86_64")
		tr.Events[tracetest.Index(tr, "ret_from_fork")].Stacks = []trace.StackImage{{}}
		steps := judge(tr, r).Steps
		if shown := slices.ContainsFunc(steps, func(s verdict.Step) bool { return len(s.Stacks) > 0 }); shown != want {
			t.Errorf("with the question %s the steps have stacks: %t, want %t", name, shown, want)
		}
	}
}

// Whose task is at a stop beside the path is not shown while a question asks for it.
func TestEvidenceWithheld(t *testing.T) {
	for _, c := range []struct {
		answer   string
		revealed bool
		shown    bool
	}{{"init", false, false}, {"init", true, true}, {"the parent", false, true}} {
		answers := right()
		answers["who"] = of(c.answer)
		r := asking(answers)
		i := slices.IndexFunc(r.Questions, func(q grade.Question) bool { return q.Name == "who" })
		r.Questions[i].Reveal = c.revealed
		res := judge(tracetest.Fork("x86_64"), r)
		at := func(steps []verdict.Step) bool {
			return slices.ContainsFunc(steps, func(s verdict.Step) bool { return s.Point == "release_task" })
		}
		if !at(res.Evidence) {
			t.Fatalf("no evidence of release_task: %+v", res.Evidence)
		}
		if got := at(redact.Shown(verdict.NewDocument(res), verdict.Visible).Results[0].Evidence); got != c.shown {
			t.Errorf("the answer %q, revealed %v: shown %v", c.answer, c.revealed, got)
		}
	}
}
