package grade_test

import (
	"slices"
	"strings"
	"testing"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
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
