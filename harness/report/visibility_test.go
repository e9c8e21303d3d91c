package report_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// secretive are rules of fork-new some of which students do not see, or not yet.
func secretive(t *testing.T) grade.Rules {
	r := answered(t, "x86_64")
	r.Points = slices.Clone(r.Points) // which the lab shares
	for i, p := range r.Points {
		switch p.Name {
		case "copy_thread":
			r.Points[i].Visibility = verdict.Hidden
		case "release_task":
			r.Points[i].Visibility = verdict.AfterDueDate
		}
	}
	for i, c := range r.Checks {
		switch c.Name {
		case "fork returns 0 in the child":
			r.Checks[i].Visibility = verdict.Hidden
		case "the child goes on where its parent called":
			r.Checks[i].Visibility = verdict.AfterPublished
		}
	}
	for i, q := range r.Questions {
		if q.Name == "stack-distance" {
			r.Questions[i].Visibility = verdict.Hidden
		}
	}
	r.Hide = []string{"who-frees"}
	return r
}

// secrets are what the student is not to read of secretive rules.
var secrets = []string{
	"copy_thread", "release_task", "fork returns 0", "goes on where its parent called", "stack-distance", "who-frees", "1024",
}

// public is what the lab's author writes for students, and what the student wrote.
var public = regexp.MustCompile(`(?s)(hint|read|why|context of the task)[: ].*?\.(\\n|\n)|answered:? [^\n]*wake_up_new_task|(correct: )?sys_clone → [^\n]*`)

// TestVisibility grades what goes wrong at all that is hidden. Everything counts and
// stands in the verdict; the student reads of what is seen alone.
func TestVisibility(t *testing.T) {
	r := secretive(t)
	tr := tracetest.Fork("x86_64")
	tracetest.Drop(tr, "copy_thread", "release_task")
	tracetest.SetRead(tr, "ret_from_fork", "user_ret", 84)
	tracetest.SetRead(tr, "ret_from_fork", "user_pc", 1)
	tracetest.SetExit(tr, trace.Exit{Output: "This is Parent Process!\n"})
	res := grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: tracetest.Fork("x86_64")})
	doc := verdict.NewDocument(res)

	open := answered(t, "x86_64")
	plain := grade.GradeSubmission(grade.Submitted{Rules: open, Trace: tr, Reference: tracetest.Fork("x86_64")})
	if res.Score != plain.Score || res.MaxScore != plain.MaxScore || res.Verdict != plain.Verdict {
		t.Errorf("what students see changes the mark: %d/%d %s, and %d/%d %s without", res.Score, res.MaxScore, res.Verdict, plain.Score, plain.MaxScore, plain.Verdict)
	}

	outputs := map[string]string{"feedback": report.Feedback(doc, r)}
	var b strings.Builder
	if err := classroom50(t).Write(&b, doc); err != nil {
		t.Fatal(err)
	}
	outputs["classroom50"] = b.String()
	gradescope := readResults(t, report.Gradescope{}, doc)
	outputs["gradescope's output"] = gradescope.Output
	b.Reset()
	page := report.NewRun(&b, r, report.Style{Verbose: true})
	page.Student()
	page.Kernel(tr.Header)
	page.Event(tr.Events[0])
	for _, e := range tracetest.Fork("x86_64").Events { // which comes to the hidden points
		page.Event(e)
	}
	if err := page.Result(res); err != nil {
		t.Fatal(err)
	}
	outputs["text"] = b.String()
	for _, format := range []string{report.FormatHTML, report.FormatChromeTrace} {
		b.Reset()
		if err := report.Write(&b, format, redact.Shown(doc, verdict.Visible), report.Style{}); err != nil {
			t.Fatal(err)
		}
		outputs[format] = b.String()
	}
	for name, text := range outputs {
		for _, secret := range secrets {
			if strings.Contains(public.ReplaceAllString(text, ""), secret) {
				t.Errorf("%s tells of %q:\n%s", name, secret, text)
			}
		}
	}
	for name, want := range map[string]string{
		"feedback":            "4 checks more, which count and are not shown here",
		"text":                "4 checks more, which count and are not shown here",
		"gradescope's output": "4 checks more, which count and are not shown here",
		"html":                "4 checks more, which count and are not shown here",
	} {
		if !strings.Contains(outputs[name], want) {
			t.Errorf("%s does not say %q:\n%s", name, want, outputs[name])
		}
	}

	b.Reset()
	if err := doc.Encode(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if !strings.Contains(b.String(), secret) {
			t.Errorf("the verdict does not have %q", secret)
		}
	}
	want := map[string]string{
		"x86_64: fork returns 0 in the child": "hidden", "x86_64: the child goes on where its parent called": "after_published",
		"x86_64: stack-distance": "hidden", "x86_64: who-frees": "hidden", "x86_64: the program ends as it should": "visible",
	}
	for _, test := range gradescope.Tests {
		if test.Visibility == "visible" && strings.HasSuffix(test.Name, "edge to the child") && (strings.Contains(test.Output, "copy_thread") || !strings.Contains(test.Output, "(not shown)")) {
			t.Errorf("a test that is seen names a point that is not: %s", test.Output)
		}
		if v, ok := want[test.Name]; ok && (test.Visibility != v || test.Score == nil) {
			t.Errorf("%s is %s with score %v, want %s", test.Name, test.Visibility, test.Score, v)
		}
		delete(want, test.Name)
	}
	if len(want) > 0 {
		t.Errorf("no tests %v", want)
	}
}

// TestGradescopeOutput checks that an output that is seen later tells of what is seen
// then, and of nothing else.
func TestGradescopeOutput(t *testing.T) {
	r := secretive(t)
	tr := tracetest.Fork("x86_64")
	tracetest.Drop(tr, "release_task")
	tracetest.SetRead(tr, "ret_from_fork", "user_ret", 84)
	tracetest.SetRead(tr, "ret_from_fork", "user_pc", 1)
	doc := verdict.NewDocument(grade.Grade(tr, r))
	told := map[string]string{
		"after_due_date": "release_task", "after_published": "goes on where its parent called", "hidden": "fork returns 0",
	}
	for at := range told {
		got := readResults(t, report.Gradescope{Visibility: at}, doc)
		for v, words := range told {
			if strings.Contains(got.Output, words) != (v == at) {
				t.Errorf("the output, %s, tells of %q: %t\n%s", at, words, v != at, got.Output)
			}
		}
		for _, test := range got.Tests {
			if strings.HasSuffix(test.Name, "ends as it should") && test.Visibility != at {
				t.Errorf("a check that says nothing is %s, want %s", test.Visibility, at)
			}
		}
	}
}

// TestOnlySeen passes where all that is seen passes.
func TestOnlySeen(t *testing.T) {
	r := rules(t, "x86_64")
	tr := tracetest.Fork("x86_64")
	tracetest.SetRead(tr, "release_task", "exit_code", 9)
	r.Hide = []string{"the child ends with the exit status that is asked for"}
	doc := verdict.NewDocument(grade.Grade(tr, r))
	if doc.Results[0].Verdict != verdict.Fail {
		t.Fatalf("%s, want fail", doc.Results[0].Verdict)
	}
	want := fmt.Sprintf("**Passed: %d of %d points.**", doc.Results[0].Score, doc.Results[0].MaxScore-6)
	if text := report.Feedback(doc, r); !strings.Contains(text, want) || !strings.Contains(text, "1 check more, which counts and is not shown here") {
		t.Errorf("no %q in\n%s", want, text)
	}
	r.Hide = r.CheckNames()
	text := report.Feedback(verdict.NewDocument(grade.Grade(tr, r)), r)
	if strings.Contains(text, "Passed") || strings.Contains(text, "points.**") || !strings.Contains(text, "**Graded.**") {
		t.Errorf("where all is hidden the feedback tells\n%s", text)
	}
	for _, f := range []string{report.FormatJUnit, report.FormatKTAP, report.FormatText} {
		if err := report.Write(&strings.Builder{}, f, redact.Shown(verdict.NewDocument(grade.Grade(tr, r)), verdict.Visible), report.Style{}); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
