package report_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/predict"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/harness/whatif"
	"kernellab/internal/schematest"
)

func variation() whatif.Comparison {
	return whatif.Comparison{
		Lab: "wait-zombie", Arch: "x86_64", Kernel: "6.1.0", Name: "ignored", Means: "The program ignores SIGCHLD.", Why: "Nobody asks.",
		Plain: verdict.Pass, Varied: verdict.Fail, Same: 12, Placed: 2,
		Differences: []whatif.Difference{
			{Kind: whatif.KindPoint, Point: "adopted", Plain: "1 stop", Varied: "no stop", Sentence: "The run does not stop at adopted."},
			{Kind: whatif.KindOutput, Plain: "State: Z", Sentence: "The program does not print “State: Z”."},
			{Kind: whatif.KindOutput, Varied: "State: \x1b[2Jnone", Sentence: "The program prints it."},
			{Kind: whatif.KindCheck, What: "it is adopted", Plain: "pass", Varied: "skip", Sentence: "“it is adopted” is not checked: no stop."},
			{Kind: whatif.KindCheck, What: "it is released", Plain: "pass", Varied: "skip", Sentence: "“it is released” is not checked: no stop."},
			{Kind: whatif.KindValue, Point: "sys_wait4", What: "exit_state", Plain: "EXIT_ZOMBIE", Varied: "EXIT_DEAD"},
		},
	}
}

func TestWhatIfText(t *testing.T) {
	var b bytes.Buffer
	if err := report.WriteWhatIf(&b, report.FormatText, []whatif.Comparison{variation()}, report.Style{Width: 80}); err != nil {
		t.Fatal(err)
	}
	want := `wait-zombie  what if: ignored
x86_64 · Linux 6.1.0

The program ignores SIGCHLD.

  • The run does not stop at adopted.
  • There is nothing to check for “it is adopted”, “it is released”.

The program's output, - in the plain run, + in this one:
  - State: Z
  + State: \x1b[2Jnone

  value                  plain        what if
  sys_wait4: exit_state  EXIT_ZOMBIE  EXIT_DEAD

12 other values at the points that both runs reach are the same; 2 differ only
in addresses or pids.

Nobody asks.
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	// In a narrow terminal the table is a list.
	b.Reset()
	c := variation()
	c.Differences[5].Plain = strings.Repeat("CLONE_FILES|", 8)
	if err := report.WriteWhatIf(&b, report.FormatText, []whatif.Comparison{c}, report.Style{Width: 60}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\n  sys_wait4: exit_state\n    plain    CLONE_FILES|") || !strings.Contains(b.String(), "\n    what if  EXIT_DEAD\n") {
		t.Errorf("no list:\n%s", &b)
	}
	for _, l := range strings.Split(b.String(), "\n") {
		if utf8.RuneCountInString(l) > 60 {
			t.Errorf("over 60 columns: %q", l)
		}
	}
	b.Reset()
	if err := report.WriteWhatIf(&b, report.FormatText, []whatif.Comparison{{Lab: "x", Same: 3, Differences: []whatif.Difference{}}}, report.Style{}); err != nil || !strings.Contains(b.String(), "Nothing is different: both runs reach the same points in the same order, and 3\nvalues") {
		t.Errorf("equal runs: %v\n%s", err, &b)
	}
}

func TestWhatIfSchema(t *testing.T) {
	s := schematest.Load(t, "whatif.schema.json")
	var b bytes.Buffer
	none := whatif.Comparison{Name: "x", Means: "It is so.", Plain: verdict.Pass, Varied: verdict.Pass, Differences: []whatif.Difference{}}
	for _, all := range [][]whatif.Comparison{nil, {variation(), none}} {
		b.Reset()
		if err := report.WriteWhatIf(&b, report.FormatJSON, all, report.Style{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t, b.String()); err != nil {
			t.Errorf("%v\n%s", err, &b)
		}
	}
	for _, bad := range [][2]string{{"lab.whatif/1", "lab.whatif/2"}, {`"kind": "value"`, `"kind": "valu"`}, {`"same_values"`, `"same"`}, {`"what_if": "x"`, `"what_if": ""`}} {
		text := strings.Replace(b.String(), bad[0], bad[1], 1)
		if text == b.String() || s.Check(t, text) == nil {
			t.Errorf("the schema takes %s", bad[1])
		}
	}
}

func TestPredictSchema(t *testing.T) {
	s := schematest.Load(t, "predict.schema.json")
	rows := []predict.Row{
		{Name: "flags", Prompt: "Which flags?", Predicted: "CLONE_VM", Seen: "SIGCHLD", Verdict: verdict.Fail, Misconceptions: []string{"A thread has it."}, Read: "clone(2)"},
		{Name: "pid", Prompt: "Which pid?", Predicted: "0", Seen: "0", Verdict: verdict.Pass},
		{Name: "where", Prompt: "Where?", Copied: true, Verdict: verdict.Skip},
	}
	ran := verdict.Result{Lab: "fork-new", Arch: "x86_64", Kernel: "6.1.0", Verdict: verdict.Pass}
	failed := verdict.Result{Lab: "fork-new", Verdict: verdict.Error, Error: "it did not boot"}
	var b bytes.Buffer
	for _, p := range []report.Predicted{{Result: failed, Answers: "answers.yaml"}, {Result: ran, Rows: rows, Answers: "answers.yaml"}} {
		b.Reset()
		if err := p.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t, b.String()); err != nil {
			t.Errorf("%v\n%s", err, &b)
		}
	}
	if !strings.Contains(b.String(), "\"compared\": 2,\n  \"right\": 1,\n") {
		t.Errorf("two are compared and one is right:\n%s", &b)
	}
	for _, bad := range [][2]string{{"lab.predict/1", "lab.predict/2"}, {`"question": "pid"`, `"question": ""`}, {`"verdict": "skip"`, `"verdict": "none"`}, {`"right"`, `"wrong"`}} {
		changed := strings.Replace(b.String(), bad[0], bad[1], 1)
		if changed == b.String() || s.Check(t, changed) == nil {
			t.Errorf("the schema takes %s for %s", bad[1], bad[0])
		}
	}
}

func TestPredictions(t *testing.T) {
	rows := []predict.Row{
		{Name: "who", Prompt: "Who frees it?", Predicted: "its parent's", Seen: "its parent's", Verdict: verdict.Pass},
		{Name: "distance", Prompt: "How many bytes lie between the child's stack pointer and the top of its stack?", Predicted: "0 bytes", Seen: "168 bytes", Verdict: verdict.Fail, Misconceptions: []string{"A new stack is not empty: the saved user registers lie on it."}, Read: "struct pt_regs"},
		{Name: "where", Prompt: "Where?", Verdict: verdict.Skip, Copied: true},
		{Name: "why", Prompt: "Why?", Verdict: verdict.Skip},
		{Name: "when", Prompt: "When?", Predicted: "\x1b[2Jnow", Verdict: verdict.Skip, Why: "The lab does not tell the result."},
	}
	var b bytes.Buffer
	if err := report.Predictions(&b, "x86_64", "6.1.0", rows, report.Style{Width: 60}); err != nil {
		t.Fatal(err)
	}
	want := `
What you predicted, and what x86_64 Linux 6.1.0 did

  ✓ Who frees it?
    predicted  its parent's

  ✗ How many bytes lie between the child's stack pointer and
    the top of its stack?
    predicted  0 bytes
    right      168 bytes
               A new stack is not empty: the saved user
               registers lie on it.
    read       struct pt_regs

  – Where?
    left for after the run, which shows it: write it behind
    where:

  – Why?
    no prediction, so nothing is told: answer it and run
    this again

  – When?
    predicted  \x1b[2Jnow
               The lab does not tell the result.

1 of 2 predictions were right.
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
