package grade_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/redact"
	"kernellab/harness/report/words"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// secretive are documents of all the runs of TestGrade, and of submissions with them,
// by rules that hide points, checks and questions, each at another time.
func secretive() []verdict.Result {
	var out []verdict.Result
	for _, w := range wrongs() {
		tr := tracetest.Fork("riscv64")
		w.make(tr)
		out = append(out, grade.Grade(tr, veiled(forkRules("riscv64"))))
	}
	answers := grade.Answers{"path": of([]string{"kernel_clone", "sys_clone", "copy_thread"}), "signal": of("SIGKILL"), "who": of("init")}
	for _, w := range wrongs() {
		tr := tracetest.Fork("x86_64")
		w.make(tr)
		r := veiled(asking(answers))
		r.Checks = append(r.Checks,
			grade.CheckRule{Name: "the signal is SIGCHLD, and start holds", Why: "It is SIGCHLD that copy_thread knows.", Observed: "signal(kernel_clone.read.exit_signal)", Expected: `"SIGCHLD"`},
			grade.CheckRule{Name: "the distance of 4711", At: "ret_from_fork", Observed: "read.stack_top - sp", Expected: "4711"},
			grade.CheckRule{Name: "copy_thread is on the stack", At: "copy_thread", That: `calls("copy_thread")`},
		)
		out = append(out, grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: tracetest.Fork("x86_64")}))
	}
	return out
}

// veiled hides some of what rules have.
func veiled(r grade.Rules) grade.Rules {
	for i, p := range r.Points {
		switch p.Name {
		case "copy_thread":
			r.Points[i].Visibility = verdict.Hidden
		case "release_task":
			r.Points[i].Visibility = verdict.AfterDueDate
		}
	}
	r.Checks[0].Visibility = verdict.AfterPublished
	r.Hide = []string{"returns 0", "about"}
	return r
}

func visibilities() []verdict.Visibility {
	out := []verdict.Visibility{""}
	for _, v := range verdict.Visibilities() {
		out = append(out, verdict.Visibility(v))
	}
	return out
}

// TestShownOfRead checks that a document that was written and read again hides the
// same: nothing that decides is lost on the way.
func TestShownOfRead(t *testing.T) {
	hidden := 0
	for i, res := range secretive() {
		doc := words.Document(verdict.NewDocument(res))
		var b bytes.Buffer
		if err := doc.Encode(&b); err != nil {
			t.Fatal(err)
		}
		read, err := verdict.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range visibilities() {
			want, got := words.Document(redact.Shown(doc, at)), words.Document(redact.Shown(read, at))
			if diff := differ(want, got); diff != "" {
				t.Fatalf("result %d, shown %q, and after it was read (-want +got):\n%s", i, at, diff)
			}
			want, got = words.Document(redact.Shown(redact.Hide(doc, "magic"), at)), words.Document(redact.Shown(redact.Hide(read, "magic"), at))
			if diff := differ(want, got); diff != "" {
				t.Fatalf("result %d with a check hidden, shown %q, and after it was read (-want +got):\n%s", i, at, diff)
			}
			if !reflect.DeepEqual(doc, want) {
				hidden++
			}
		}
	}
	if hidden == 0 {
		t.Error("nothing was hidden")
	}
}

// differ is cmp.Diff where the two are not the same.
func differ(a, b verdict.Document) string {
	if reflect.DeepEqual(a, b) {
		return ""
	}
	return cmp.Diff(a, b)
}

// reworded is a result in which every sentence says something else, and names what is
// hidden.
func reworded(r verdict.Result) verdict.Result {
	r = words.Result(r)
	const other = "copy_thread and release_task expected SIGCHLD → 4711: start, returns 0, answers.yaml"
	for i := range r.Findings {
		r.Findings[i].Message = fmt.Sprint(other, i)
	}
	for i := range r.Notes {
		r.Notes[i] = fmt.Sprint(other, i)
	}
	if len(r.Causes) > 0 {
		r.Error = other
	}
	for i, c := range r.Checks {
		if c.Want != nil {
			r.Checks[i].Expected = fmt.Sprint(other, i)
		}
		if c.Got != nil {
			r.Checks[i].Observed = fmt.Sprint(other, i)
		}
	}
	for i := range r.Steps {
		for j, v := range r.Steps[i].Values {
			if v.Why != nil {
				r.Steps[i].Values[j].Text = other
			}
		}
	}
	return r
}

// TestRewordingDecidesNothing rewrites every sentence of a document, and sees the same
// of it hidden and shown.
func TestRewordingDecidesNothing(t *testing.T) {
	for i, res := range secretive() {
		doc := words.Document(verdict.NewDocument(res))
		other := verdict.NewDocument(reworded(res))
		if reflect.DeepEqual(doc, other) {
			t.Fatalf("result %d has no sentence", i)
		}
		for _, at := range visibilities() {
			want, got := redact.Shown(doc, at), redact.Shown(other, at)
			if diff := differ(words.Document(want), words.Document(got)); diff != "" {
				t.Fatalf("result %d, shown %q, reworded (-want +got):\n%s", i, at, diff)
			}
			if diff := differ(words.Document(redact.Shown(redact.Hide(doc, "magic"), at)), words.Document(redact.Shown(redact.Hide(other, "magic"), at))); diff != "" {
				t.Fatalf("result %d with a check hidden, shown %q, reworded (-want +got):\n%s", i, at, diff)
			}
		}
	}
}

// TestShownNamesNothingHidden looks for the names that are hidden in all that shows.
func TestShownNamesNothingHidden(t *testing.T) {
	for i, res := range secretive() {
		shown := words.Document(redact.Shown(verdict.NewDocument(res), verdict.Visible))
		for j := range shown.Results {
			r := &shown.Results[j]
			for k := range r.Checks {
				if c := &r.Checks[k]; c.Kind == verdict.KindQuestion {
					c.Observed, c.Expected, c.Prompt, c.Hint = "", "", "", "" // the student's own, and the question
				}
				r.Checks[k].Lines = nil
			}
			kept := r.Findings[:0:0]
			for _, f := range r.Findings {
				if f.Kind != verdict.FindAnswer {
					kept = append(kept, f)
				}
			}
			r.Findings = kept
		}
		var b strings.Builder
		if err := shown.Encode(&b); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"copy_thread", "release_task", "returns 0", "SIGCHLD"} {
			if name == "SIGCHLD" && len(shown.Results[0].Ordered) == 0 {
				continue // not asked for
			}
			if line, found := lineWith(b.String(), name); found {
				t.Errorf("result %d shows %s: %s", i, name, line)
			}
		}
	}
}

func lineWith(text, word string) (string, bool) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return strings.TrimSpace(line), true
		}
	}
	return "", false
}
