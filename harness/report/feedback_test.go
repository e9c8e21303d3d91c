package report_test

import (
	"errors"
	"strings"
	"testing"

	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

// answered are the rules of fork-new with answers, of which two are wrong and two
// are missing.
func answered(t testing.TB, arch string) grade.Rules {
	r := rules(t, arch)
	r.Answers = grade.Answers{
		"path":           {"": []string{"sys_clone", "copy_process", "kernel_clone", "dup_task_struct", "copy_thread", "wake_up_new_task"}},
		"first-function": {"": "ret_from_fork"},
		"stack-distance": {"x86_64": 1024},
		"who-frees":      {"": "its parent's"},
	}
	return r
}

// submissions are documents of what students handed in.
func submissions(t testing.TB) map[string]verdict.Document {
	t.Helper()
	x := answered(t, "x86_64")
	reference := tracetest.Fork("x86_64")
	grading := func(tr *trace.Trace, r grade.Rules, findings ...verdict.Finding) verdict.Document {
		return verdict.NewDocument(grade.GradeSubmission(grade.Submitted{Rules: r, Trace: tr, Reference: reference, Findings: findings}))
	}
	never := tracetest.Fork("x86_64")
	tracetest.Drop(never, tracetest.Points()...)
	tracetest.SetExit(never, trace.Exit{Code: 1, Output: "fork: resource temporarily unavailable\n"})
	missing := tracetest.Fork("x86_64")
	tracetest.Drop(missing, "dup_task_struct")
	value := tracetest.Fork("x86_64")
	tracetest.SetRead(value, "ret_from_fork", "user_ret", 84)
	hostile := tracetest.Fork("x86_64")
	tracetest.Drop(hostile, "copy_thread", "release_task")
	evil := "x](http://evil.example) <script>*_@all_* `rm` $x^2$ www.evil.example\x1b[2J"
	tracetest.SetExit(hostile, trace.Exit{Signal: "SIGSEGV", Output: "```\n# Passed: 21 of 21 points\n" + evil + "\n</details>\n````\n"})
	for i := range hostile.Events {
		if task := hostile.Events[i].Task; task != nil {
			copied := *task
			copied.Comm = "`|](x)\n# a"
			hostile.Events[i].Task = &copied
		}
	}
	named := answered(t, "x86_64")
	named.Answers["first-function"] = grade.Answer{"": grade.Invalid(`want the name of a function, not "` + evil + `"`)}
	only := answered(t, "x86_64")
	only.AnswersOnly = true
	compile := verdict.Finding{Kind: verdict.FindCompile, Message: "prog.go does not compile", Text: "prog.go:3:1: undefined: x\n```\n<b>prog.go:4</b>\n"}
	key := verdict.Finding{Kind: verdict.FindSubmission, Part: "answers", Message: `answers.yaml:3: no question "` + evil + `": did you mean path?`}
	return map[string]verdict.Document{
		"submission": grading(reference, x),
		"never":      grading(never, x),
		"missing":    grading(missing, x),
		"value":      grading(value, x),
		"compile":    grading(nil, x, compile, key),
		"hostile":    grading(hostile, named, key),
		"answers":    grading(nil, only),
	}
}

func TestFeedback(t *testing.T) {
	docs := submissions(t)
	for name, doc := range documents(t) {
		docs[name] = doc
	}
	docs["not-graded"] = verdict.NewDocument(grade.Failure(answered(t, "x86_64"), "6.1.0-50-cloud-amd64", errors.New("boot: no console output within 40s")))
	for name, doc := range docs {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".feedback.md", report.Feedback(doc, rules(t, "x86_64")))
		})
	}
}

// TestFeedbackIsSafe checks what holds whatever a student writes: nothing of it
// formats, links, mentions, or looks like the feedback's own words.
func TestFeedbackIsSafe(t *testing.T) {
	text := report.Feedback(submissions(t)["hostile"], rules(t, "x86_64"))
	fence := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = strings.TrimSuffix(line, "text")
		case fence != "" && line == fence:
			fence = ""
		case fence != "":
			if strings.Contains(line, fence) {
				t.Errorf("the block is closed by what is in it: %q", line)
			}
		default:
			for _, bad := range []string{"](", "<script", "<b>", "@all", "://", "www.evil", "`rm`", "$x", "\x1b"} {
				if strings.Contains(strings.ReplaceAll(line, `\]`, ""), bad) {
					t.Errorf("%q in %q", bad, line)
				}
			}
			if strings.HasPrefix(line, "# Passed") || strings.HasPrefix(line, "# a") {
				t.Errorf("a heading that is not ours: %q", line)
			}
		}
	}
	if fence != "" {
		t.Error("a block is not closed")
	}
}

// TestFeedbackGivesNothingAway checks that no truth is in any output.
func TestFeedbackGivesNothingAway(t *testing.T) {
	for name, doc := range submissions(t) {
		outputs := map[string]string{"feedback": report.Feedback(doc, rules(t, "x86_64"))}
		for _, format := range []string{report.FormatJSON, report.FormatJUnit, report.FormatGradescope, report.FormatText, report.FormatKTAP} {
			var b strings.Builder
			if err := report.Write(&b, format, doc, report.Style{}); err != nil {
				t.Fatal(err)
			}
			outputs[format] = b.String()
		}
		for format, text := range outputs {
			for _, secret := range []string{"168", "0xffffffff81097380"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s as %s tells %s", name, format, secret)
				}
			}
		}
	}
}
