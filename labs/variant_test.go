package labs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

// variedYAML is fork-new's lab.yaml with two more variants, which a check,
// a question, the output and the exit status depend on.
func variedYAML(t testing.TB) string {
	t.Helper()
	text := forkYAML(t)
	for _, change := range [][2]string{
		{"\nvariants:\n", `
variants:
  code: [3, 7, 12, 23, 41]
  end: [SIGTERM, SIGKILL, SIGUSR1]
`},
		{"\ntask: >-\n", `
task: >-
  The child ends with status ${variant.code} or ${signal(variant.end)}.
`},
		{"\nprogram:\n  output:\n", `
program:
  output:
    - 'The child ends with ${variant.code}, ${signal(variant.end)}.'
`},
		{"\n  exit: 0\n", "\n  exit: ${variant.code - 3}\n"},
		{"\nchecks:\n", `
checks:
  - name: the child's own status
    observed: bitshr(release_task.read.exit_code, 8)
    expected: variant.code
    why: It is ${variant.code * 256} in the kernel.

`},
		// The answers score 60 in all.
		{"    score: 6\n    prompt: Which function", "    score: 5\n    prompt: Which function"},
		{"\nquestions:\n", `
questions:
  - name: kept-status
    type: number
    prompt: Which code does the kernel keep for the status ${variant.code}?
    truth: variant.code * 256

`},
	} {
		changed := strings.Replace(text, change[0], change[1], 1)
		if changed == text {
			t.Fatalf("%q is not in the file", change[0])
		}
		text = changed
	}
	return text
}

func varied(t testing.TB) labs.Lab {
	t.Helper()
	all, err := labs.Load(folder(variedYAML(t)))
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func with(t testing.TB, l labs.Lab, code, end string) labs.Lab {
	t.Helper()
	out, err := l.With(map[string]string{"code": code, "end": end, "exit_status": own(l, code)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// own is the value of fork-new's variant: the lab's own beside the lab's own code.
func own(l labs.Lab, code string) string {
	i := slices.IndexFunc(l.Variants, func(v labs.Variant) bool { return v.Name == "exit_status" })
	if code == l.Variants[0].Values[0] {
		return l.Variants[i].Values[0]
	}
	return l.Variants[i].Values[1]
}

func TestVariantsFill(t *testing.T) {
	own := varied(t)
	for _, tt := range []struct {
		lab  labs.Lab
		line string
		exit int
		why  string
		args []string
	}{
		{own, "The child ends with 3, SIGTERM.", 0, "It is 768 in the kernel.", nil},
		{with(t, own, "12", "SIGUSR1"), "The child ends with 12, SIGUSR1.", 9, "It is 3072 in the kernel.", []string{"code=12", "end=10", "exit_status=3"}},
		{with(t, with(t, own, "12", "SIGUSR1"), "7", "SIGKILL"), "The child ends with 7, SIGKILL.", 4, "It is 1792 in the kernel.", []string{"code=7", "end=9", "exit_status=3"}},
		{with(t, with(t, own, "12", "SIGUSR1"), "3", "SIGTERM"), "The child ends with 3, SIGTERM.", 0, "It is 768 in the kernel.", nil},
	} {
		r := tt.lab.Rules("x86_64")
		if r.Output[0] != tt.line || r.Exit != tt.exit || r.Checks[0].Why != tt.why {
			t.Errorf("%v: output %q, exit %d, why %q", tt.lab.Chosen, r.Output[0], r.Exit, r.Checks[0].Why)
		}
		if diff := cmp.Diff(tt.args, tt.lab.OwnArgs()); diff != "" {
			t.Errorf("%v: arguments (-want +got):\n%s", tt.lab.Chosen, diff)
		}
		if tt.lab.Handout != own.Handout || tt.lab.Program() == nil || len(tt.lab.Plan("riscv64").Args) != 0 {
			t.Errorf("%v: the lab's other parts differ", tt.lab.Chosen)
		}
	}
}

// What the guest is stopped for is the same in the lab's own task as in a lab without
// variants: its traces stay as they were.
func TestVariantsChangeNoPlan(t *testing.T) {
	plain, err := labs.Load(folder(forkYAML(t)))
	if err != nil {
		t.Fatal(err)
	}
	want, err1 := json.Marshal(plain[0].Plan("x86_64").Points)
	got, err2 := json.Marshal(varied(t).Plan("x86_64").Points)
	strip := func(b []byte) string { // where in the file things are
		var out []string
		for _, part := range strings.Split(string(b), `"`) {
			if !strings.HasPrefix(part, "labs/fork-new/lab.yaml:") {
				out = append(out, part)
			}
		}
		return strings.Join(out, `"`)
	}
	if err1 != nil || err2 != nil || strip(want) != strip(got) {
		t.Errorf("%v, %v; the plan differs:\n%s\n%s", err1, err2, want, got)
	}
}

// TestVariantsGrade grades one run, of a child that ends with status 12, by the tasks of
// three students: the one whose task it is, a neighbour, and nobody.
func TestVariantsGrade(t *testing.T) {
	own := varied(t)
	tr := tracetest.Fork("x86_64")
	tr.Events[tracetest.Index(tr, "release_task")].Reads["exit_code"] = 12 << 8
	for _, tt := range []struct {
		code  string
		holds verdict.Verdict
	}{{"12", verdict.Pass}, {"7", verdict.Fail}, {"3", verdict.Fail}} {
		r := with(t, own, tt.code, "SIGKILL").Rules("x86_64")
		r.Answers = grade.Answers{"kept-status": {"": 12 << 8}}
		res := grade.Grade(tr, r)
		for _, name := range []string{"the child's own status", "kept-status"} {
			if c := res.Checks[indexCheck(t, res, name)]; c.Verdict != tt.holds {
				t.Errorf("task %s: %s: %s, want %s (%s)", tt.code, name, c.Verdict, tt.holds, res.Error)
			}
		}
	}
}

func TestVariantsChoose(t *testing.T) {
	l := varied(t)
	var some variant.Secret
	seen, chosen := map[string]int{}, map[string]map[string]string{}
	for i := range 400 {
		values := l.Student(some, "student-"+strings.Repeat("x", i))
		seen[values["code"]]++
		chosen[fmt.Sprint(values)] = values
	}
	for _, values := range chosen {
		if _, err := l.With(values); err != nil {
			t.Fatal(err)
		}
	}
	if seen["3"] != 0 || len(seen) != 4 {
		t.Errorf("codes %v: want those after the first, and all of them", seen)
	}
	for code, n := range seen {
		if n < 60 || n > 150 {
			t.Errorf("%d of 400 students have %s", n, code)
		}
	}
	every := map[string]bool{}
	tasks := l.EachTask()
	for _, values := range tasks[1:] {
		every["code "+values["code"]], every["end "+values["end"]] = true, true
	}
	if tasks[0] != nil || len(tasks) != 6 || len(every) != 6 {
		t.Errorf("tasks %v", tasks)
	}
}

// TestVariantsTemplate checks that a student reads the student's own values.
func TestVariantsTemplate(t *testing.T) {
	l := with(t, varied(t), "41", "SIGUSR1")
	files, err := l.Template(submission.C)
	if err != nil {
		t.Fatal(err)
	}
	const task = "The child ends with status 41 or SIGUSR1."
	for name, want := range map[string]string{
		"README.md":            "## Your task\n\n" + task + " ",
		submission.AnswersFile: "# Which code does the kernel keep for the status 41? (1 point)",
		"prog.c":               "// " + task + " The child ends with exit status 3",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: no %q in\n%s", name, want, files[name])
		}
		if strings.Contains(files[name], "${") {
			t.Errorf("%s has a value that is not filled in", name)
		}
	}
	if !strings.Contains(files[submission.AnswersFile], "# Your task: "+task) {
		t.Error("answers.yaml does not state the task")
	}
}

func TestVariantsRefused(t *testing.T) {
	good := variedYAML(t)
	s := labSchema(t)
	_, stated, _ := strings.Cut(good, "\ntask:")
	stated, _, _ = strings.Cut("task:"+stated, "\n\n")
	for name, tt := range map[string]struct {
		old, new, want string
		schema         bool // whether the schema can tell as well
	}{
		"unknown variant":     {"expected: variant.code", "expected: variant.cod", `no variant "cod": did you mean "code"?`, false},
		"in a text":           {"${variant.code * 256}", "${variant.cod * 256}", `no variant "cod": did you mean "code"?`, false},
		"no expression":       {"${variant.code * 256}", "${variant.code *}", `unexpected token`, false},
		"a recorded value":    {"${variant.code * 256}", "${task.pid}", `unknown name "task": only constants and variant.NAME`, false},
		"not closed":          {"${variant.code * 256}", "${variant.code * 256", `without a closing }`, false},
		"a truth value":       {"${variant.code * 256}", "${variant.code == 3}", `neither a whole number nor a text`, false},
		"few values":          {"[SIGTERM, SIGKILL, SIGUSR1]", "[SIGTERM, SIGKILL]", `variant end: want from 3 to 64 values`, true},
		"twice":               {"[SIGTERM, SIGKILL, SIGUSR1]", "[SIGTERM, SIGKILL, SIGKILL]", `SIGKILL is there twice`, true},
		"an unknown value":    {"[SIGTERM, SIGKILL, SIGUSR1]", "[SIGTERM, SIGKIL, SIGUSR1]", `variant end: unknown name "SIGKIL"`, false},
		"no list":             {"end: [SIGTERM, SIGKILL, SIGUSR1]", "end: SIGTERM", `want a list`, true},
		"a bad name":          {"  code: [", "  the-code: [", `variant "the-code": want a word`, true},
		"no task":             {stated, "", `say with "task" what the student has to do`, false},
		"a name that differs": {"name: the child's own status", "name: the child's status ${variant.code}", `leave variants out of it`, false},
		"a value too large":   {"23, 41]", "23, 300]", `labs/fork-new/lab.yaml: with code 300, end SIGUSR1, exit_status 23: labs/fork-new/lab.yaml:`, false},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatalf("%q is not in the file", tt.old)
			}
			_, err := labs.Load(folder(bad))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error:\n%v\nwant one with:\n%s", err, tt.want)
			}
			if err := validate(t, s, bad); (err != nil) != tt.schema {
				t.Errorf("the schema says %v", err)
			}
		})
	}
	if err := validate(t, s, good); err != nil {
		t.Error(err)
	}
	l := varied(t)
	for _, values := range []map[string]string{{"code": "7"}, {"code": "8", "end": "SIGKILL"}, {"code": "7", "end": "SIGKILL", "x": "1"}} {
		if got, err := l.With(values); err == nil || got.Chosen != nil {
			t.Errorf("%v: %v, the task is %v", values, err, got.Chosen)
		}
	}
}

// Only what names a variant changes: texts in quotes and members of other things do not.
func TestVariantsSubstitute(t *testing.T) {
	text := bytes.Replace([]byte(variedYAML(t)), []byte("expected: variant.code\n"),
		[]byte(`expected: 'variant . code == 1 ? 5 : "variant.code" == ""  ? 1 : variant.code'`+"\n"), 1)
	all, err := labs.Load(folder(string(text)))
	if err == nil || !strings.Contains(err.Error(), "variant") {
		t.Fatalf("%v, %d labs", err, len(all))
	}
	text = bytes.Replace(text, []byte("variant . code"), []byte("2"), 1)
	if all, err = labs.Load(folder(string(text))); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all[0].Checks, func(c labs.Check) bool { return c.Name == "the child's own status" })
	if got := all[0].Checks[i].Expected.For("riscv64"); got != `2 == 1 ? 5 : "variant.code" == ""  ? 1 : 3` {
		t.Errorf("expected is %s", got)
	}
}
