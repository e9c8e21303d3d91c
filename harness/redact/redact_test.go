package redact_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// secretive is a result with a point, a check and an answer that are not seen.
func secretive() verdict.Result {
	res := verdict.Result{
		Lab: "fork-new", Arch: "x86_64", Verdict: verdict.Fail, Score: 1, MaxScore: 3,
		Unseen: []verdict.Unseen{{Name: "copy_thread", Visibility: verdict.AfterDueDate}},
		Steps: []verdict.Step{
			{Point: "sys_clone", Means: "The call, long before copy_thread.", Comm: "é copy_thread", Stack: []string{"copy_threads", "copy_thread"}},
			{Point: "copy_thread", Visibility: verdict.AfterDueDate},
			{Point: "wake_up_new_task"},
		},
		Checks: []verdict.Check{
			{Name: "the order", Verdict: verdict.Fail, MaxScore: 1, Want: &verdict.Fact{
				Case:  verdict.CasePaths,
				Calls: []verdict.CallPaths{{Paths: []verdict.RolePath{{Role: "parent", Points: []string{"sys_clone", "copy_thread"}}}}},
			}, Got: &verdict.Fact{Case: verdict.CaseNoStop}},
			{Name: "SIGCHLD comes", Verdict: verdict.Pass, Score: 1, MaxScore: 1, Why: "Nothing but SIGCHLD does, as the hidden one says.", Expected: "1", Observed: "1"},
			{Name: "the hidden one", Verdict: verdict.Fail, MaxScore: 1, Visibility: verdict.Hidden},
			{Name: "signal", Kind: verdict.KindQuestion, Verdict: verdict.Fail},
		},
		Findings: []verdict.Finding{
			{Kind: verdict.FindMissing, Step: 3, Fact: verdict.Fact{Case: verdict.CasePassedOver, Point: "wake_up_new_task", After: "copy_thread", Other: "sys_clone"}},
			{Kind: verdict.FindCheck, Visibility: verdict.Hidden, Fact: verdict.Fact{Case: verdict.CaseValue, Check: "the hidden one"}},
			{Kind: verdict.FindNotSeen, Fact: verdict.Fact{Case: verdict.CaseBlocked, Point: "sys_clone", Role: "parent", Checks: []string{"SIGCHLD comes", "the hidden one"}}},
		},
	}
	return redact.Mark(res, redact.Answers{Phrases: map[string]string{"SIGCHLD": "signal"}})
}

func TestShown(t *testing.T) {
	got := words.Document(redact.Shown(verdict.NewDocument(secretive()), verdict.Visible)).Results[0]
	var texts []string
	for _, c := range got.Checks {
		texts = append(texts, c.Name, c.Why, c.Expected)
	}
	for _, f := range got.Findings {
		texts = append(texts, f.Message)
	}
	texts = append(texts, got.Steps[0].Means, got.Steps[0].Stack[0], got.Steps[0].Stack[1])
	texts = append(texts, got.Notes...)
	want := []string{
		"the order", "", "parent: sys_clone → (not shown)",
		"(a question asks for it) comes", "Nothing but (a question asks for it) does, as (not shown) says.", "1",
		"signal", "", "",
		"wake_up_new_task was not hit: expected it after (not shown), seen: sys_clone",
		`sys_clone was never hit by the parent, and so "(a question asks for it) comes", "(not shown)" can not hold.`,
		"The call, long before (not shown).", "copy_threads", "(not shown)",
		"1 check more, which counts and is not shown here.",
	}
	if d := cmp.Diff(want, texts); d != "" {
		t.Errorf("what shows (-want +got):\n%s", d)
	}
	if got.Score != 1 || got.MaxScore != 2 || len(got.Steps) != 2 || got.Findings[0].Step != 2 || len(got.Unseen) > 0 {
		t.Errorf("%d of %d, %d steps, the finding at step %d, %v", got.Score, got.MaxScore, len(got.Steps), got.Findings[0].Step, got.Unseen)
	}
}

// TestShownLater checks that what is seen later is seen then, and a right answer at once.
func TestShownLater(t *testing.T) {
	res := secretive()
	res.Checks[3].Verdict = verdict.Pass
	got := words.Document(redact.Shown(verdict.NewDocument(res), verdict.AfterDueDate)).Results[0]
	if got.Checks[1].Name != "SIGCHLD comes" || len(got.Steps) != 3 || got.Checks[0].Expected != "parent: sys_clone → copy_thread" {
		t.Errorf("%q, %d steps, expected %q", got.Checks[1].Name, len(got.Steps), got.Checks[0].Expected)
	}
}

// TestAlways checks that the answer on a run that goes right stays hidden when another
// is right on this run.
func TestAlways(t *testing.T) {
	res := secretive()
	res.Checks[3].Verdict = verdict.Pass
	res = redact.Mark(res, redact.Answers{Phrases: map[string]string{"SIGCHLD": "signal"}, Always: map[string]bool{"SIGCHLD": true}})
	if name := redact.Shown(verdict.NewDocument(res), verdict.Hidden).Results[0].Checks[1].Name; name != verdict.Withheld+" comes" {
		t.Errorf("the check shows as %q", name)
	}
}

// TestOrder checks that a listing of points does not answer a question for their order.
func TestOrder(t *testing.T) {
	res := secretive()
	res.Ordered = []string{"path"}
	got := words.Document(redact.Shown(verdict.NewDocument(res), verdict.Hidden)).Results[0]
	if c := got.Checks[0]; c.Expected != verdict.Withheld || c.Observed != "no stop at all" {
		t.Errorf("expected %q, observed %q", c.Expected, c.Observed)
	}
}

func TestHide(t *testing.T) {
	doc := redact.Hide(verdict.NewDocument(secretive()), "SIGCHLD comes")
	got := redact.Shown(doc, verdict.Visible).Results[0]
	if len(got.Checks) != 2 || len(got.Findings) != 1 || got.Withheld != 2 {
		t.Errorf("%d checks, %d findings, %d withheld", len(got.Checks), len(got.Findings), got.Withheld)
	}
	if c := secretive().Checks[1]; redact.ShownCheck(secretive(), c, verdict.Visible).Name == c.Name {
		t.Errorf("the check shows as %q", c.Name)
	}
}

// A stop beside the path is left out while a question asks whose task is there.
func TestTasks(t *testing.T) {
	for verdictOf, want := range map[verdict.Verdict]int{verdict.Fail: 1, verdict.Pass: 2} {
		res := secretive()
		res.Checks[3].Verdict = verdictOf
		res.Evidence = []verdict.Step{{Point: "release_task", PID: 7, Role: "parent", Evidence: true}, {Point: "do_exit", PID: 8, Evidence: true}}
		res = redact.Mark(res, redact.Answers{Tasks: map[string]string{"release_task": "signal"}})
		if got := redact.Shown(verdict.NewDocument(res), verdict.Hidden).Results[0].Evidence; len(got) != want || got[len(got)-1].Point != "do_exit" {
			t.Errorf("the question is %s: %+v", verdictOf, got)
		}
	}
}
