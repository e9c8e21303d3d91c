package grade_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// TestPartly checks what an order and a set that are partly right score.
func TestPartly(t *testing.T) {
	for name, tt := range map[string]struct {
		question string
		given    []string
		want     int // of 10
	}{
		"one pair of three wrong":        {"path", []string{"kernel_clone", "sys_clone", "copy_thread"}, 3},
		"two pairs wrong":                {"path", []string{"kernel_clone", "copy_thread", "sys_clone"}, 0},
		"turned round":                   {"path", []string{"copy_thread", "kernel_clone", "sys_clone"}, 0},
		"one of two":                     {"own", []string{"pid"}, 5},
		"one of two, and a wrong one":    {"own", []string{"pid", "comm"}, 0},
		"both, and a wrong one":          {"own", []string{"stack", "pid", "comm"}, 5},
		"a wrong one":                    {"own", []string{"comm"}, 0},
		"none":                           {"own", []string{}, 0},
		"both, in other letters":         {"own", []string{"Stack", "PID"}, 10},
		"one of two, with a strange one": {"own", []string{"pid", "strange"}, 0},
	} {
		answers := right()
		answers[tt.question] = of(tt.given)
		r := asking(answers)
		for i := range r.Questions {
			r.Questions[i].Score = 10
		}
		res := judge(tracetest.Fork("x86_64"), r)
		if c := question(t, res, tt.question); c.Score != tt.want || (c.Verdict == verdict.Pass) != (tt.want == 10) {
			t.Errorf("%s: %s, %d points of %d, want %d", name, c.Verdict, c.Score, c.MaxScore, tt.want)
		}
		consistent(t, res)
	}
}

// TestMisconceptions checks which sentence stands beside which wrong answer, and which
// of them students see.
func TestMisconceptions(t *testing.T) {
	wrong := map[string][]grade.Misconception{
		"about":    {{Answer: "16384", Says: "the whole stack"}},
		"distance": {{Answer: "read.stack_top - sp + 8", Says: "off by a word"}, {Answer: "16384", Says: "the whole stack"}},
		"first":    {{Answer: "copy_process", Says: "the caller"}, {Answer: "sys_clone", Says: "the call"}},
		"signal":   {{Answer: "SIGKILL", Says: "that kills"}, {Answer: "0", Says: "a thread's"}},
		"who":      {{Answer: "init", Says: "only of orphans"}},
		"path":     {{Answer: "kernel_clone before sys_clone", Says: "the entry is first"}, {Answer: "copy_thread before kernel_clone", Says: "who calls it?"}},
		"own":      {{Answer: "comm", Says: "it is copied"}, {Answer: "pid", Says: "two tasks, one pid"}},
	}
	tests := map[string]struct {
		question    string
		given       any
		want, shown []string
	}{
		"an expression":           {"distance", 176, []string{"off by a word"}, []string{"off by a word"}},
		"a value":                 {"distance", 16384, []string{"the whole stack"}, []string{"the whole stack"}},
		"a value near it":         {"about", 16380, nil, nil},
		"another value":           {"distance", 7, nil, nil},
		"a right value":           {"distance", 168, nil, nil},
		"a symbol":                {"first", "copy_process()", []string{"the caller"}, []string{"the caller"}},
		"a point's symbol":        {"first", "__x64_sys_clone", []string{"the call"}, []string{"the call"}},
		"a choice":                {"signal", "sigkill", []string{"that kills"}, []string{"that kills"}},
		"a choice, revealed":      {"who", "init", []string{"only of orphans"}, []string{"only of orphans"}},
		"an order":                {"path", []string{"kernel_clone", "sys_clone", "copy_thread"}, []string{"the entry is first"}, nil},
		"an order with two slips": {"path", []string{"copy_thread", "kernel_clone", "sys_clone"}, []string{"the entry is first", "who calls it?"}, nil},
		"a choice too many":       {"own", []string{"stack", "pid", "comm"}, []string{"it is copied"}, nil},
		"a choice too few":        {"own", []string{"stack"}, []string{"two tasks, one pid"}, nil},
		"not answered":            {"own", nil, nil, nil},
	}
	for name, tt := range tests {
		answers := right()
		delete(answers, tt.question)
		if tt.given != nil {
			answers[tt.question] = of(tt.given)
		}
		r := asking(answers)
		for i, q := range r.Questions {
			r.Questions[i].Wrong = wrong[q.Name]
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		res := judge(tracetest.Fork("x86_64"), r)
		if d := cmp.Diff(tt.want, question(t, res, tt.question).Misconceptions); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		shown := redact.Shown(verdict.NewDocument(res), verdict.Visible).Results[0]
		if d := cmp.Diff(tt.shown, question(t, shown, tt.question).Misconceptions); d != "" {
			t.Errorf("%s, shown to the student (-want +got):\n%s", name, d)
		}
	}
}

// TestGroup checks that what follows from the call counts once, and that the sums agree.
func TestGroup(t *testing.T) {
	grouped := func() grade.Rules {
		r := forkRules("x86_64")
		r.Marks = grade.Marks{Call: 20, Output: 6, Exit: 4}
		r.Checks[len(r.Checks)-1].Score = 8 // reaped; frame has 2
		return r
	}
	tests := map[string]struct {
		make  func(*grade.Rules)
		spoil string // a point that the trace lacks
		read  string // a value at ret_from_fork that is wrong
		score int
		group verdict.Verdict
		of    int
	}{
		"right":                 {score: 40, group: verdict.Pass, of: 7},
		"a member fails":        {read: "user_ret", score: 20, group: verdict.Fail, of: 7},
		"another check fails":   {read: "stack_top", score: 38, group: verdict.Pass, of: 7},
		"a step is not there":   {spoil: "copy_thread", score: 20, group: verdict.Fail, of: 7},
		"the evidence is not":   {spoil: "release_task", score: 32, group: verdict.Pass, of: 7},
		"a path for itself":     {make: func(r *grade.Rules) { r.Sequence.Score, r.Marks.Call = 5, 15 }, spoil: "copy_thread", score: 20, group: verdict.Fail, of: 6},
		"a member is not shown": {make: func(r *grade.Rules) { r.Checks[0].Visibility = verdict.Hidden }, score: 40, group: verdict.Pass, of: 7},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, tr := grouped(), tracetest.Fork("x86_64")
			if tt.make != nil {
				tt.make(&r)
			}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			if tt.spoil != "" {
				tracetest.Drop(tr, tt.spoil)
			}
			if tt.read != "" {
				tracetest.SetRead(tr, "ret_from_fork", tt.read, 7)
			}
			res := judge(tr, r)
			consistent(t, res)
			g := res.Checks[0]
			if g.Kind != verdict.KindGroup || g.Verdict != tt.group || res.Score != tt.score || res.MaxScore != 40 {
				t.Errorf("group %s (%s), %d of %d, want %d", g.Verdict, g.Observed, res.Score, res.MaxScore, tt.score)
			}
			members := 0
			for _, c := range res.Checks {
				if c.Group != "" {
					members++
					if c.Group != g.Name || c.MaxScore != 0 {
						t.Errorf("%s is in %q and scores up to %d", c.Name, c.Group, c.MaxScore)
					}
				}
			}
			if members != tt.of {
				t.Errorf("%d checks in the group, want %d", members, tt.of)
			}
			if res.Passed() != (tt.score == 40) {
				t.Errorf("the result is %s", res.Verdict)
			}
		})
	}
	none := grouped()
	none.Sequence.Score, none.Hits.Score = 1, 1
	for i := range none.Checks {
		none.Checks[i].Score = 1
	}
	if err := none.Validate(); err == nil {
		t.Error("a group without a check is valid")
	}
	absent := judgeSubmission(grade.Submitted{Rules: grouped(), Kernel: "6.1"})
	if absent.Score != 0 || absent.MaxScore != 40 || absent.Checks[0].Verdict != verdict.Skip {
		t.Errorf("without a program: %d of %d, the group %s", absent.Score, absent.MaxScore, absent.Checks[0].Verdict)
	}
}
