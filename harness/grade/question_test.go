package grade_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
)

func alternatives(names ...string) (out []grade.Alternative) {
	for i := 0; i < len(names); i += 2 {
		out = append(out, grade.Alternative{Name: names[i], When: names[i+1]})
	}
	return out
}

// asking are forkRules with a question of each type, all to be answered.
func asking(answers grade.Answers) grade.Rules {
	r := forkRules("x86_64")
	r.Questions = []grade.Question{
		{Name: "distance", Type: grade.TypeNumber, Unit: "bytes", At: "ret_from_fork", Truth: "read.stack_top - sp", Hint: "One structure.", Read: "struct pt_regs", Score: 2},
		{Name: "about", Type: grade.TypeNumber, At: "ret_from_fork", Truth: "read.stack_top - sp", Tolerance: grade.Tolerance{Absolute: 16}},
		{Name: "percent", Type: grade.TypeNumber, At: "ret_from_fork", Truth: "read.stack_top - sp", Tolerance: grade.Tolerance{Relative: 0.05}},
		{Name: "ratio", Type: grade.TypeNumber, Truth: "3 / 2"},
		{Name: "start", Type: grade.TypeAddress, At: "ret_from_fork", Truth: "pc"},
		{Name: "first", Type: grade.TypeSymbol, At: "dup_task_struct", Truth: "symbol"},
		{Name: "signal", Type: grade.TypeChoice, At: "kernel_clone", Truth: "signal(read.exit_signal)", Choices: alternatives("SIGCHLD", "", "SIGKILL", "", "0", "")},
		{Name: "who", Type: grade.TypeChoice, Choices: alternatives("the parent", "release_task.task.pid == sys_clone.task.pid", "init", "release_task.task.pid == 1"), Reveal: true},
		{Name: "path", Type: grade.TypeOrder, Choices: alternatives("copy_thread", "", "sys_clone", "", "kernel_clone", "")},
		{Name: "own", Type: grade.TypeSet, At: "ret_from_fork", Choices: alternatives("pid", "task.pid != sys_clone.task.pid", "comm", "task.comm != sys_clone.task.comm", "stack", "true")},
	}
	r.Answers = answers
	return r
}

func of(v any) grade.Answer { return grade.Answer{"": v} }

// right are right answers to all of them.
func right() grade.Answers {
	return grade.Answers{
		"distance": of(168), "about": of(180), "percent": of(160.5), "ratio": of(1.5), "start": of(-0x7ef68c80),
		"first": of("arch_dup_task_struct"), "signal": of("sigchld"), "who": of("The  parent"),
		"path": of([]string{"sys_clone", "kernel_clone", "copy_thread"}), "own": of([]string{"stack", "pid"}),
	}
}

func question(t *testing.T, r verdict.Result, name string) verdict.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Kind == verdict.KindQuestion && c.Name == name {
			return c
		}
	}
	t.Fatalf("no question %q", name)
	return verdict.Check{}
}

func TestAnswersRight(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	pc := int(tr.Events[tracetest.Index(tr, "ret_from_fork")].Address)
	answers := right()
	answers["start"] = of(pc)
	rules := asking(answers)
	if err := rules.Validate(); err != nil {
		t.Fatal(err)
	}
	if grade.NeedsReference(tr, rules, "") {
		t.Error("a run that shows all needs a reference")
	}
	res := judge(tr, rules)
	if !res.Passed() || res.MaxScore != 12+11 || res.Score != res.MaxScore {
		t.Errorf("%s %d/%d: %+v", res.Verdict, res.Score, res.MaxScore, res.Findings)
	}
	for _, name := range []string{"distance", "start", "who"} {
		if c := question(t, res, name); c.Expected != "" || c.Hint != "" {
			t.Errorf("%s, answered rightly, tells %q and %q", name, c.Expected, c.Hint)
		}
	}
	// A run that is no submission is graded as if nothing were asked.
	rules.Answers = nil
	if res := judge(tr, rules); !res.Passed() || res.MaxScore != 12 {
		t.Errorf("without answers: %s %d/%d", res.Verdict, res.Score, res.MaxScore)
	}
}

func TestAnswersByType(t *testing.T) {
	tests := map[string]struct {
		question string
		given    grade.Answer
		want     verdict.Verdict
	}{
		"number":                    {"distance", of(168), verdict.Pass},
		"number as a fraction":      {"distance", of(168.0), verdict.Pass},
		"number off by one":         {"distance", of(169), verdict.Fail},
		"number by architecture":    {"distance", grade.Answer{"x86_64": 168, "riscv64": 1}, verdict.Pass},
		"number of another":         {"distance", grade.Answer{"riscv64": 168}, verdict.Fail},
		"number, architecture wins": {"distance", grade.Answer{"": 168, "x86_64": 1}, verdict.Fail},
		"number by series":          {"distance", grade.Answer{"x86_64": 1, "x86_64 6.1": 168}, verdict.Pass},
		"number by version":         {"distance", grade.Answer{"x86_64 6.1": 1, "x86_64 6.1.0": 168}, verdict.Pass},
		"number of another series":  {"distance", grade.Answer{"x86_64": 168, "x86_64 6.12": 1, "x86_64 6": 168}, verdict.Pass},
		"number that is a text":     {"distance", of("168"), verdict.Fail},
		"within":                    {"about", of(184), verdict.Pass},
		"at the edge":               {"about", of(152), verdict.Pass},
		"outside":                   {"about", of(185), verdict.Fail},
		"within per cent":           {"percent", of(176), verdict.Pass},
		"outside per cent":          {"percent", of(177), verdict.Fail},
		"fraction":                  {"ratio", of(1.5), verdict.Pass},
		"fraction cut":              {"ratio", of(1), verdict.Fail},
		"other address":             {"start", of(0), verdict.Fail},
		"symbol":                    {"first", of("arch_dup_task_struct"), verdict.Pass},
		"symbol with a call":        {"first", of("arch_dup_task_struct()"), verdict.Pass},
		"symbol with an offset":     {"first", of("arch_dup_task_struct+0x0/0x40"), verdict.Pass},
		"the point's name":          {"first", of("dup_task_struct"), verdict.Pass},
		"another point":             {"first", of("copy_process"), verdict.Fail},
		"symbol in other letters":   {"first", of("Arch_dup_task_struct"), verdict.Fail},
		"choice":                    {"signal", of("SIGCHLD"), verdict.Pass},
		"other choice":              {"signal", of("0"), verdict.Fail},
		"choice by condition":       {"who", of("the parent"), verdict.Pass},
		"other by condition":        {"who", of("init"), verdict.Fail},
		"order":                     {"path", of([]string{"sys_clone", "kernel_clone", "copy_thread"}), verdict.Pass},
		"other order":               {"path", of([]string{"kernel_clone", "sys_clone", "copy_thread"}), verdict.Fail},
		"part of an order":          {"path", of([]string{"sys_clone"}), verdict.Fail},
		"set":                       {"own", of([]string{"pid", "stack"}), verdict.Pass},
		"set with more":             {"own", of([]string{"pid", "stack", "comm"}), verdict.Fail},
		"set with less":             {"own", of([]string{"pid"}), verdict.Fail},
		"empty set":                 {"own", of([]string{}), verdict.Fail},
		"not answered":              {"own", nil, verdict.Fail},
		"not understood":            {"own", of(grade.Invalid("want a list")), verdict.Fail},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := right()
			answers[tt.question] = tt.given
			res := judge(tracetest.Fork("x86_64"), asking(answers))
			c := question(t, res, tt.question)
			if c.Verdict != tt.want {
				t.Errorf("%s, observed %q, want %s", c.Verdict, c.Observed, tt.want)
			}
			if full := c.Score == c.MaxScore; full != (tt.want == verdict.Pass) {
				t.Errorf("score %d of %d", c.Score, c.MaxScore)
			}
			if tt.want == verdict.Fail && res.Verdict != verdict.Fail {
				t.Errorf("the result is %s", res.Verdict)
			}
		})
	}
}

// TestAnswersKept checks that no truth is in the document, unless the lab tells.
func TestAnswersKept(t *testing.T) {
	wrongs := grade.Answers{
		"distance": of(1), "start": of(1), "first": of("schedule"), "who": of("init"),
		"path": of([]string{"kernel_clone", "sys_clone", "copy_thread"}), "own": of([]string{}),
	}
	res := judge(tracetest.Fork("x86_64"), asking(wrongs))
	var b bytes.Buffer
	if err := verdict.NewDocument(res).Encode(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"168", "0xa8", "0xffffffff81097380", "arch_dup_task_struct"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("the document tells %s", secret)
		}
	}
	if c := question(t, res, "who"); c.Expected != "the parent" {
		t.Errorf("who: expected %q, want it told", c.Expected)
	}
	if c := question(t, res, "distance"); c.Hint != "One structure." || c.Read != "struct pt_regs" || c.Observed != "1 byte" {
		t.Errorf("distance: %+v", c)
	}
	if err := schema(t).Check(t, b.String()); err != nil {
		t.Error(err)
	}
	// Nor when there is no program, and the checks were not made.
	res = judgeSubmission(grade.Submitted{Rules: asking(wrongs), Reference: tracetest.Fork("x86_64"), Findings: []verdict.Finding{{Kind: verdict.FindCompile, Message: "prog.go does not compile"}}})
	for _, c := range res.Checks {
		if strings.Contains(c.Expected, "168") {
			t.Errorf("%s tells %s", c.Name, c.Expected)
		}
	}
}

// TestGradeSubmission checks what counts when a part is missing, and that what is
// ours is no one's zero.
func TestGradeSubmission(t *testing.T) {
	const program, questions = 12, 11
	reference := tracetest.Fork("x86_64")
	answers := right()
	answers["start"] = of(int(reference.Events[tracetest.Index(reference, "ret_from_fork")].Address))
	rules := asking(answers)
	only := rules
	only.AnswersOnly = true
	noFork := tracetest.Fork("x86_64")
	tracetest.Drop(noFork, tracetest.Points()...)
	bad := []verdict.Finding{{Kind: verdict.FindCompile, Message: "prog.go does not compile", Text: "prog.go:1:1: expected 'package'"}}
	cut := tracetest.Fork("x86_64")
	cut.Events = cut.Events[:5]
	unread := tracetest.Fork("x86_64")
	unread.Events[tracetest.Index(unread, "ret_from_fork")].Reads = nil

	tests := map[string]struct {
		s          grade.Submitted
		want       verdict.Verdict
		score, max int
		finding    string // the first
	}{
		"all right":               {grade.Submitted{Rules: rules, Trace: reference}, verdict.Pass, program + questions, program + questions, ""},
		"does not compile":        {grade.Submitted{Rules: rules, Reference: reference, Findings: bad}, verdict.Fail, questions, program + questions, verdict.FindCompile},
		"no program wanted":       {grade.Submitted{Rules: only, Reference: reference}, verdict.Pass, questions, questions, ""},
		"program gets nowhere":    {grade.Submitted{Rules: rules, Trace: noFork, Reference: reference}, verdict.Fail, questions + 2, program + questions, verdict.FindNeverCalled},
		"and no reference":        {grade.Submitted{Rules: rules, Trace: noFork}, verdict.Fail, 2 + 1, program + questions, verdict.FindNeverCalled},
		"no reference either":     {grade.Submitted{Rules: rules, Findings: bad}, verdict.Error, 0, program + questions, ""},
		"reference cut short":     {grade.Submitted{Rules: rules, Reference: cut, Findings: bad}, verdict.Error, 0, program + questions, ""},
		"run cut short":           {grade.Submitted{Rules: rules, Trace: cut, Reference: reference}, verdict.Error, 0, program + questions, ""},
		"the truth was not read":  {grade.Submitted{Rules: rules, Trace: unread}, verdict.Error, 0, program + questions, ""},
		"a problem with the file": {grade.Submitted{Rules: rules, Trace: reference, Findings: []verdict.Finding{{Kind: verdict.FindSubmission, Message: "answers.yaml:3: no question"}}}, verdict.Fail, program + questions, program + questions, verdict.FindSubmission},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := judgeSubmission(tt.s)
			if res.Verdict != tt.want || res.Score != tt.score || res.MaxScore != tt.max {
				t.Errorf("%s %d/%d, want %s %d/%d; %s %+v", res.Verdict, res.Score, res.MaxScore, tt.want, tt.score, tt.max, res.Error, res.Findings)
			}
			if tt.finding != "" && (len(res.Findings) == 0 || res.Findings[0].Kind != tt.finding) {
				t.Errorf("findings %+v, want first %s", res.Findings, tt.finding)
			}
			if again := judgeSubmission(tt.s); again.Score != res.Score || again.Verdict != res.Verdict {
				t.Error("graded again, the mark is another")
			}
		})
	}
	if !grade.NeedsReference(noFork, rules, "") || !grade.NeedsReference(nil, rules, "") {
		t.Error("no reference is wanted where the run shows no truth")
	}
	if none := asking(grade.Answers{}); grade.NeedsReference(nil, none, "") {
		t.Error("a reference is wanted though nothing is answered")
	}
}

// TestTruthIsTheRuns checks that another run has another truth.
func TestTruthIsTheRuns(t *testing.T) {
	tr := tracetest.Fork("x86_64")
	tr.Events[tracetest.Index(tr, "ret_from_fork")].Registers["rsp"] -= 16
	for given, want := range map[int]verdict.Verdict{168: verdict.Fail, 184: verdict.Pass} {
		if c := question(t, judge(tr, asking(grade.Answers{"distance": of(given)})), "distance"); c.Verdict != want {
			t.Errorf("%d: %s, want %s", given, c.Verdict, want)
		}
	}
	tracetest.Move(tr, "copy_thread", "kernel_clone")
	order := []string{"sys_clone", "copy_thread", "kernel_clone"}
	if c := question(t, judge(tr, asking(grade.Answers{"path": of(order)})), "path"); c.Verdict != verdict.Pass {
		t.Errorf("the order of the run: %s", c.Verdict)
	}
}

func TestValidateQuestions(t *testing.T) {
	tests := map[string]struct {
		q    grade.Question
		want string
	}{
		"type":                   {grade.Question{Type: "nummer"}, `.type: unknown type "nummer": did you mean "number"?`},
		"no truth":               {grade.Question{Type: grade.TypeNumber}, `no "truth"`},
		"broken truth":           {grade.Question{Type: grade.TypeNumber, Truth: "1 +"}, `.truth: `},
		"unknown name":           {grade.Question{Type: grade.TypeNumber, Truth: "ret_from_frok.sp"}, `.truth: unknown name "ret_from_frok": did you mean "ret_from_fork"?`},
		"needs a point":          {grade.Question{Type: grade.TypeNumber, Truth: "sp"}, `"sp" is of one event`},
		"unknown point":          {grade.Question{Type: grade.TypeNumber, Truth: "1", At: "nowhere"}, `.at: no point "nowhere"`},
		"tolerance":              {grade.Question{Type: grade.TypeSymbol, Truth: "kernel", Tolerance: grade.Tolerance{Absolute: 1}}, `.tolerance: only a number`},
		"unit":                   {grade.Question{Type: grade.TypeAddress, Truth: "1", Unit: "bytes"}, `.unit: only a number`},
		"choices of a number":    {grade.Question{Type: grade.TypeNumber, Truth: "1", Choices: alternatives("a", "", "b", "")}, `.choices: a question of type number has none`},
		"one choice":             {grade.Question{Type: grade.TypeChoice, Truth: `"a"`, Choices: alternatives("a", "")}, `at least two "choices"`},
		"a choice twice":         {grade.Question{Type: grade.TypeChoice, Truth: `"a"`, Choices: alternatives("a", "", " A ", "")}, `.choices[1]: " A " is there twice`},
		"choice without truth":   {grade.Question{Type: grade.TypeChoice, Choices: alternatives("a", "", "b", "")}, `either each has a condition`},
		"choice with both":       {grade.Question{Type: grade.TypeChoice, Truth: `"a"`, Choices: alternatives("a", "true", "b", "false")}, `either each has a condition`},
		"choice with a half":     {grade.Question{Type: grade.TypeChoice, Choices: alternatives("a", "true", "b", "")}, `either each has a condition`},
		"broken condition":       {grade.Question{Type: grade.TypeChoice, Choices: alternatives("a", "true", "b", "1 ==")}, `.choices[1]: `},
		"set without conditions": {grade.Question{Type: grade.TypeSet, Choices: alternatives("a", "true", "b", "")}, `of a set each choice has a condition`},
		"set with a truth":       {grade.Question{Type: grade.TypeSet, Truth: "1", Choices: alternatives("a", "true", "b", "true")}, `of a set each choice has a condition`},
		"order with a truth":     {grade.Question{Type: grade.TypeOrder, Truth: "1", Choices: alternatives("sys_clone", "", "copy_thread", "")}, `the truth of an order is the run's`},
		"order of no points":     {grade.Question{Type: grade.TypeOrder, Choices: alternatives("sys_clone", "", "copy_tread", "")}, `an order is of points, and there is none "copy_tread": did you mean "copy_thread"?`},
		"the same name":          {grade.Question{Name: "distance", Type: grade.TypeNumber, Truth: "1"}, `.name: "distance" is the name of another question`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := asking(nil)
			r.Questions = append(r.Questions, tt.q)
			if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "questions[10]"+strings.SplitN(tt.want, ":", 2)[0]) && !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), strings.TrimPrefix(tt.want, ".")) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestWrongTruth checks that a lab whose truth is no answer is our error and not
// the student's.
func TestWrongTruth(t *testing.T) {
	choices := alternatives("a", "", "b", "")
	for name, q := range map[string]grade.Question{
		"a number that is a text": {Type: grade.TypeNumber, Truth: `"x"`},
		"an address that is not":  {Type: grade.TypeAddress, Truth: "1.5"},
		"a symbol that is not":    {Type: grade.TypeSymbol, Truth: "1"},
		"none of the choices":     {Type: grade.TypeChoice, Truth: `"c"`, Choices: choices},
		"no choice holds":         {Type: grade.TypeChoice, Choices: alternatives("a", "false", "b", "1 == 2")},
		"two choices hold":        {Type: grade.TypeChoice, Choices: alternatives("a", "true", "b", "true")},
		"no condition":            {Type: grade.TypeSet, Choices: alternatives("a", "1", "b", "true")},
		"division by zero":        {Type: grade.TypeNumber, Truth: "1 % (ret_from_fork.pc - ret_from_fork.pc)"},
	} {
		t.Run(name, func(t *testing.T) {
			q.Name = "q"
			r := forkRules("x86_64")
			r.Questions = []grade.Question{q}
			r.Answers = grade.Answers{"q": of("a")}
			res := judge(tracetest.Fork("x86_64"), r)
			if res.Verdict != verdict.Error || res.Score != 0 || res.Error == "" {
				t.Errorf("%s %d: %s", res.Verdict, res.Score, res.Error)
			}
			// A check that was made keeps what it saw.
			if c := res.Checks[slices.IndexFunc(res.Checks, func(c verdict.Check) bool { return c.Name == "start" })]; c.Observed == "" || c.Got != nil || c.Verdict != verdict.Skip {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestAnswerOn checks which of several answers holds on a kernel.
func TestAnswerOn(t *testing.T) {
	for release, want := range map[string]int{
		"6.1": 2, "6.1.0-cloud": 2, "6.1-rc1": 2, "6.1a": 2, "6.10": 1, "6.19.1": 1, "6.2": 1, "": 1,
	} {
		if v, ok := (grade.Answer{"": 0, "x86_64": 1, "x86_64 6.1": 2, "riscv64 6.1": 3}).On("x86_64", release); v != want || !ok {
			t.Errorf("%s: %v, %v, want %d", release, v, ok, want)
		}
	}
	if v, ok := (grade.Answer{"riscv64": 3}).On("x86_64", "6.1"); ok {
		t.Errorf("the answer of another architecture: %v", v)
	}
}

func TestQuestion(t *testing.T) {
	rules := asking(nil)
	for i, want := range rules.Questions {
		if q, ok := rules.Question(want.Name); !ok || q.Name != want.Name {
			t.Errorf("question %d %s: %s, %v", i, want.Name, q.Name, ok)
		}
	}
	if q, ok := rules.Question("none"); ok || q.Name != "" {
		t.Errorf("no such question: %+v", q)
	}
}

// TestAnswerJSON checks that answers are read as they were written, and nothing else.
func TestAnswerJSON(t *testing.T) {
	want := grade.Answer{"": 1<<62 + 1, "x86_64": 0.5, "a": "text", "b": []string{"x", "y"}, "c": []string{}, "d": grade.Invalid(""), "e": grade.Invalid("no number"), "f": -3}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got grade.Answer
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{`5`, `{"a": true}`, `{"a": null}`, `{"a": {}}`, `{"a": {"invalid": "x", "more": 1}}`, `{"a": {"more": 1}}`, `{"a": [1]}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is read as %v", bad, got)
		}
	}
}
