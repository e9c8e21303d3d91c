package grade_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// A run that could not be graded says why, also when nobody knows.
func TestFailure(t *testing.T) {
	for want, err := range map[string]error{"boot: no console output": errors.New("boot: no console output"), "unknown cause": nil} {
		r := grade.Failure(forkRules("x86_64"), "6.1", err)
		if r.Verdict != verdict.Error || r.Error != want || r.Kernel != "6.1" || r.Score != 0 || len(r.Checks) == 0 {
			t.Errorf("%s %q on %q, %d points, %d checks, want the error %q", r.Verdict, r.Error, r.Kernel, r.Score, len(r.Checks), want)
		}
	}
}

// The first point of the header has a reason and a source like any other.
func TestFirstPointsSource(t *testing.T) {
	tr := taskTrace()
	tr.Header.Points[0] = trace.Point{Point: "enter", Symbol: "enter.isra.0", Why: "a clone of it", Source: "kernel/enter.c:3"}
	at(tr, "enter").Symbol = "enter.isra.0"
	s := judge(tr, taskRules()).Steps[0]
	if s.Point != "enter" || s.Why != "a clone of it" || s.Source != "kernel/enter.c:3" {
		t.Errorf("the first step is %s, why %q, source %q", s.Point, s.Why, s.Source)
	}
}

// What hangs on a point that a kernel lacks is left out, and the other questions are
// asked.
func TestOtherQuestionsAreAsked(t *testing.T) {
	rules := taskRules()
	asked := grade.Question{Name: "asked", Type: grade.TypeNumber, Truth: "1 + 1"}
	rules.Questions = append(slices.Clone(rules.Questions), asked)
	rules.Answers = grade.Answers{"asked": of(2)}
	if c := question(t, judge(taskTrace(), rules), "asked"); c.Verdict != verdict.Pass {
		t.Errorf("the question is %s", c.Verdict)
	}
}

// A finding about the order is seen by whoever sees the check of the order.
func TestOrderFindingsVisibility(t *testing.T) {
	r := forkRules("x86_64")
	r.Sequence.Visibility = verdict.Hidden
	tr := tracetest.Fork("x86_64")
	drop(tr, "copy_thread")
	res := judge(tr, r)
	n := 0
	for _, f := range res.Findings {
		if f.Kind == verdict.FindMissing {
			if n++; f.Visibility != verdict.Hidden {
				t.Errorf("a finding about the order is %q: %s", f.Visibility, f.Message)
			}
		}
	}
	if n == 0 {
		t.Errorf("no finding about a missing point in %+v", res.Findings)
	}
}

// How often points come is expected as the rules say it; most come once.
func TestExpectedHits(t *testing.T) {
	for _, c := range judge(taskTrace(), taskRules()).Checks {
		if c.Want != nil && c.Want.Case == verdict.CaseRanges {
			var names []string
			for _, n := range c.Want.Counts {
				names = append(names, n.Point)
			}
			if want := []string{"tick", "maybe", "forbidden"}; !slices.Equal(names, want) {
				t.Errorf("the points that do not come once are %q, want %q", names, want)
			}
			return
		}
	}
	t.Error("no check of how often points come")
}

// Lines and patterns that were not printed are counted, and a program with one line to
// print is expected to print that line.
func TestLinesFound(t *testing.T) {
	for _, c := range []struct {
		output, patterns []string
		printed          string
		found            int
		lines, pattern   []string // that are expected by name
	}{
		{[]string{"done", "finished"}, []string{"pid [0-9]+", "[a-z]+!"}, "done\npid 5\n", 2, nil, nil},
		{[]string{"done", "finished"}, []string{"pid [0-9]+"}, "pid x\n", 0, nil, nil},
		{[]string{"done"}, nil, "nothing\n", 0, []string{"done"}, nil},
		{nil, []string{"pid [0-9]+"}, "pid x\n", 0, nil, []string{"pid [0-9]+"}},
	} {
		r := taskRules()
		r.Output, r.Patterns = c.output, c.patterns
		tr := taskTrace()
		exit(tr).Output = c.printed
		res := judge(tr, r)
		i := slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Got != nil && c.Got.Case == verdict.CaseLines })
		if i < 0 {
			t.Errorf("%q: no check of the output", c.printed)
			continue
		}
		got, want := res.Checks[i].Got.Output, res.Checks[i].Want.Output
		total := len(c.output) + len(c.patterns)
		if got.Found != c.found || got.Wanted != total || want.Wanted != total || !slices.Equal(want.Lines, c.lines) || !slices.Equal(want.Pattern, c.pattern) {
			t.Errorf("%q: %d of %d found, %d wanted, by name %q and %q; want %d found, %q and %q", c.printed, got.Found, got.Wanted, want.Wanted, want.Lines, want.Pattern, c.found, c.lines, c.pattern)
		}
	}
}

// A finding about an answer or a value has what its check observed.
func TestFindingsQuoteTheirChecks(t *testing.T) {
	r := asking(grade.Answers{"signal": of("SIGKILL"), "own": of([]string{"comm"})})
	r.Checks = []grade.CheckRule{{Name: "a condition", At: "ret_from_fork", That: "false"}}
	res := judge(tracetest.Fork("x86_64"), r)
	quoted := 0
	for _, f := range res.Findings {
		i := slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Name == f.Check })
		if f.Case != verdict.CaseValue && f.Case != verdict.CaseWrong || i < 0 || res.Checks[i].Got == nil {
			continue
		}
		quoted++
		if diff := cmp.Diff([]verdict.Fact{*res.Checks[i].Got}, f.Why); diff != "" {
			t.Errorf("the finding about %s (-check +finding):\n%s", f.Check, diff)
		}
	}
	if quoted == 0 {
		t.Errorf("no finding has a check with what it got: %+v", res.Findings)
	}
}

// A finding that follows from something that is not found itself is told.
func TestOnlyConsequences(t *testing.T) {
	r := forkRules("x86_64")
	r.Checks = nil
	r.Points = append(r.Points,
		plan.Point{Name: "maybe", Role: "parent", Step: true, Hits: &trace.Range{Most: 1}},
		plan.Point{Name: "late", Role: "parent", Step: true, Armed: []string{"maybe"}})
	tr := tracetest.Fork("x86_64")
	for i, p := range r.Points[len(r.Points)-2:] {
		tr.Header.Points = append(tr.Header.Points, trace.Point{Point: p.Name, Symbol: p.Name, Address: trace.Word(i + 1)})
	}
	res := judge(tr, r)
	if res.Verdict != verdict.Fail || len(res.Findings) != 1 || res.Findings[0].Point != "late" {
		t.Errorf("%s, findings %+v, want that late is missing", res.Verdict, res.Findings)
	}
}

// A call that came to nothing is left out if a later one came to its end, and only then.
func TestRefusedTwice(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	tracetest.SecondCall(tr, "copy_process")
	tracetest.Drop(tr, "dup_task_struct", "copy_thread", "wake_up_new_task", "ret_from_fork", "release_task")
	if res := judge(tr, forkRules("x86_64")); len(res.Notes) > 0 || res.Verdict != verdict.Fail {
		t.Errorf("%s, notes %q, want none", res.Verdict, res.Notes)
	}
}

// A step that is missing is found once for itself, and a check that needs another one
// that is missing says so.
func TestNotSeenOnce(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	tracetest.Drop(tr, "copy_thread", "wake_up_new_task")
	var missing, unseen []string
	for _, f := range judge(tr, forkRules("x86_64")).Findings {
		switch f.Kind {
		case verdict.FindMissing:
			missing = append(missing, f.Point)
		case verdict.FindNotSeen:
			unseen = append(unseen, f.Point)
		}
	}
	if !slices.Equal(missing, []string{"copy_thread"}) || !slices.Equal(unseen, []string{"wake_up_new_task"}) {
		t.Errorf("missing %q, unseen %q, want copy_thread and wake_up_new_task", missing, unseen)
	}
}

// Checks that students see at different times have a finding each about the point that
// was not hit, so that none names a check that is hidden.
func TestNotSeenByVisibility(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	tracetest.Drop(tr, "copy_thread", "wake_up_new_task")
	rules := forkRules("x86_64")
	rules.Checks = append(rules.Checks, grade.CheckRule{Name: "secret", Observed: "wake_up_new_task.read.start", Expected: "1", Visibility: verdict.Hidden})
	found := map[verdict.Visibility][]string{}
	for _, f := range judge(tr, rules).Findings {
		if f.Kind == verdict.FindNotSeen && f.Point == "wake_up_new_task" {
			found[f.Visibility] = append(found[f.Visibility], f.Checks...)
		}
	}
	if d := cmp.Diff(map[verdict.Visibility][]string{"": {"start"}, verdict.Hidden: {"secret"}}, found); d != "" {
		t.Errorf("checks that hang on wake_up_new_task (-want +got)\n%s", d)
	}
}

// A refused call that is seen to return is left out too.
func TestRefusedReturns(t *testing.T) {
	r := forkRules("x86_64")
	i := slices.IndexFunc(r.Points, func(p plan.Point) bool { return p.Name == "clone_returns" })
	r.Points[i].ReturnOf = "sys_clone"
	tr := tracetest.Fork("x86_64")
	whole := slices.Clone(tr.Events)
	refused := []trace.Event{}
	for _, e := range whole {
		if slices.Contains([]string{"sys_clone", "kernel_clone", "copy_process", "clone_returns"}, e.Point) {
			refused = append(refused, e)
		}
	}
	for i := range whole {
		if whole[i].Point != "" {
			whole[i].Round = 2
		}
	}
	tr.Events = slices.Insert(whole, tracetest.Index(tr, "sys_clone"), refused...)
	tracetest.Renumber(tr)
	if res := judge(tr, r); res.Verdict != verdict.Pass || len(res.Notes) != 1 {
		t.Errorf("%s, notes %q, findings %+v, want a pass with a note", res.Verdict, res.Notes, res.Findings)
	}
}
