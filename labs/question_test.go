package labs_test

import (
	"context"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/labs"
)

func TestQuestionsRefused(t *testing.T) {
	good := forkYAML(t)
	s := labSchema(t)
	// schema says whether the schema can tell as well.
	tests := map[string]struct {
		old, new, want string
		schema         bool
	}{
		"nobody is asked":      {"submission: {program: required, answers: required}", "submission: {program: required}", `questions: nobody is asked`, false},
		"unknown need":         {"answers: required}", "answers: demanded}", `answers: want required or optional, not "demanded"`, true},
		"unknown key":          {"{program: required, answers", "{programme: required, answers", `submission: unknown key "programme": did you mean "program"?`, true},
		"unknown language":     {"{program: required,", "{program: required, languages: [c, rust],", `languages: unknown language "rust"`, true},
		"languages of nothing": {"{program: required, answers", "{languages: [c], answers", `languages of a program that is not asked for`, false},
		"key of a question":    {"    unit: bytes", "    units: bytes", `question: unknown key "units": did you mean "unit"?`, true},
		"no prompt":            {"    prompt: In which task's", "    hint: In which task's", `"hint" already defined`, false},
		"unknown type":         {"    type: symbol", "    type: symbl", `type: unknown type "symbl": did you mean "symbol"?`, true},
		"unknown point":        {"choices: [copy_process,", "choices: [copy_proces,", `choices[0]: an order is of points, and there is none "copy_proces": did you mean "copy_process"?`, false},
		"a truth that is off":  {"    truth: read.stack_top - sp\n    # Kernels", "    truth: read.stack_tp - sp\n    # Kernels", `truth: read.stack_tp: read has no "stack_tp": did you mean "stack_top"?`, false},
		"a broken condition":   {"      pid: task.pid != sys", "      pid: task.pid !== sys", `choices[2]: `, false},
		"a name with capitals": {"  - name: who-frees", "  - name: Who_frees", `name "Who_frees": want small letters, digits and hyphens`, true},
		"a name twice":         {"  - name: who-frees", "  - name: path", `name: "path" is the name of another question`, false},
		"tolerance":            {"    tolerance: 16", "    tolerance: some", `tolerance: want a number such as 16 or a part such as 5%, not "some"`, true},
		"negative tolerance":   {"    tolerance: 16", "    tolerance: -1", `tolerance: want a number`, true},
		"score":                {"    score: 6\n    prompt: Which function", "    score: 0\n    prompt: Which function", `score: want a number from 1 to 100`, true},
		"visibility":           {"    reveal: true", "    visibility: hiden", `visibility: unknown word "hiden": did you mean "hidden"?`, true},
		"no visibility":        {"    reveal: true", "    visibility: [hidden]", `visibility: want a text`, true},
		"reveal":               {"    reveal: true", "    reveal: perhaps", `reveal: want true or false`, true},
		"choices are a word":   {"    choices: [copy_process, copy_thread, dup_task_struct, kernel_clone, sys_clone, wake_up_new_task]", "    choices: many", `choices: want names with values`, true},
		"no misconception":     {"    wrong:\n      its kernel stacks are larger: The distance to the top does not depend on how much room is below.\n      its pages are larger: Both use pages of 4096 bytes for kernel stacks.\n      its system calls have more arguments: Both", "    wrong: {}\n    # Both", `wrong: say at least one`, true},
		"wrong order":          {"kernel_clone before sys_clone: The", "sys_clone: The", `wrong[0]: "sys_clone": a wrong order is "A before B"`, false},
		"wrong order of what":  {"copy_thread before dup_task_struct: copy", "copy_thred before dup_task_struct: copy", `"copy_thred" is none of the choices: did you mean "copy_thread"?`, false},
		"wrong choice":         {"      the child's own: A", "      the kernel's: A", `wrong[0]: "the kernel's" is none of the choices`, false},
		"wrong expression":     {"      \"0\": The stack", "      read.stck: The stack", `read has no "stck"`, false},
		"wrong without reason": {"copy_process before kernel_clone: kernel", "copy_process before kernel_clone: \"\" # kernel", `want a text`, true},
		"unknown kind":         {"    kind: seen", "    kind: see", `kind: unknown word "see": did you mean "seen"?`, true},
		"a program of 41":      {"call: 18, output: 8", "call: 18, output: 9", `marks: the program scores 41 in all, and has to score 40`, false},
		"no marks":             {"marks: {call: 18, output: 8, exit: 6}", "", `marks: the program scores 22 in all, and has to score 40`, false},
		"answers of 61":        {"    score: 6\n    prompt: Which function", "    score: 7\n    prompt: Which function", `questions: the answers score 61 in all, and have to score 60`, false},
		"unknown mark":         {"call: 18, output: 8", "calls: 18, output: 8", `marks: unknown key "calls": did you mean "call"?`, true},
		"one architecture":     {"    truth: wake_up_new_task.read.start", "    truth: {x86_64: wake_up_new_task.read.start}", `truth: nothing for riscv64`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatalf("%q is not in the file", tt.old)
			}
			_, err := labs.Load(folder(bad))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "labs/fork-new/lab.yaml:") {
				t.Fatalf("error:\n%v\nwant one with:\n%s", err, tt.want)
			}
			t.Log(err)
			if name == "no prompt" {
				return // no YAML
			}
			if err := validate(t, s, bad); (err != nil) != tt.schema {
				t.Errorf("the schema says %v", err)
			}
		})
	}
	percent := strings.Replace(good, "tolerance: 16", "tolerance: 2.5%", 1)
	got, err := labs.Load(folder(percent))
	if err != nil || validate(t, s, percent) != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(got[0].Questions, func(q labs.Question) bool { return q.Name == "stack-distance" })
	if diff := cmp.Diff(grade.Tolerance{Relative: 0.025}, got[0].Questions[i].Tolerance); diff != "" {
		t.Errorf("tolerance (-want +got):\n%s", diff)
	}
}

// TestForkNewAnswers checks that the right answers are right on both
// architectures, and others wrong.
func TestForkNewAnswers(t *testing.T) {
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	of := func(v any) grade.Answer { return grade.Answer{"": v} }
	right := grade.Answers{
		"path":           of([]string{"sys_clone", "kernel_clone", "copy_process", "dup_task_struct", "copy_thread", "wake_up_new_task"}),
		"first-function": of("ret_from_fork"),
		"stack-distance": {"x86_64": 168, "riscv64": 288},
		"child-own":      of([]string{"task_struct", "kernel stack", "pid"}),
		"who-frees":      of("its parent's"),
		"zero":           of("copy_thread stored it in the saved registers"),
		"stack-size":     of("it has more user registers to save"),
		"no-signal":      of("a plain wait4 would not find the child"),
		"exit-code":      of(256),
	}
	wrong := grade.Answers{
		"path":           of([]string{"kernel_clone", "sys_clone", "copy_process", "dup_task_struct", "copy_thread", "wake_up_new_task"}),
		"first-function": of("copy_thread"),
		"first-address":  of(0),
		"stack-distance": of(0x38),
		"child-own":      of([]string{"task_struct", "kernel stack", "pid", "place in the program"}),
		"who-frees":      of("init's"),
		"zero":           of("the C library puts it there"),
		"stack-size":     of("its pages are larger"),
		"no-signal":      of("clone would fail"),
		"exit-code":      of(1),
	}
	for _, a := range arch.Names() {
		tr := tracetest.Fork(a)
		answers := maps.Clone(right)
		answers["first-address"] = of(int(tr.Events[tracetest.Index(tr, "ret_from_fork")].Address))
		r := l.Rules(a)
		r.Answers = answers
		if res := grade.Grade(tr, r); !res.Passed() || res.Score != 100 {
			t.Errorf("%s: %s %d/%d %+v", a, res.Verdict, res.Score, res.MaxScore, res.Findings)
		}
		for name, v := range wrong {
			r.Answers = maps.Clone(answers)
			r.Answers[name] = v
			res := grade.Grade(tr, r)
			if c := res.Checks[indexCheck(t, res, name)]; c.Verdict != verdict.Fail || res.Verdict != verdict.Fail {
				t.Errorf("%s: %s: %s, the result %s", a, name, c.Verdict, res.Verdict)
			}
		}
	}
}

// TestTemplate checks that what a student starts from can be handed in at once,
// with nothing answered.
func TestTemplate(t *testing.T) {
	for _, l := range all(t) {
		if !l.Takes() {
			if _, err := l.Template(submission.Go); err == nil {
				t.Errorf("%s takes no submissions and has a template", l.Name)
			}
			continue
		}
		for _, language := range l.Languages() {
			files, err := l.Template(language)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				for i, line := range strings.Split(text, "\n") {
					if name == submission.AnswersFile && len(line) > 90 {
						t.Errorf("%s:%d: %d columns", name, i+1, len(line))
					}
				}
			}
			s, err := submission.Read(context.Background(), dir, l.Handed())
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Problems) > 0 || len(s.Answers) > 0 || s.Answers == nil && l.Submission.Answers != submission.None {
				t.Errorf("%s: problems %v, answers %v", l.Name, s.Problems, s.Answers)
			}
			for _, q := range l.Questions {
				if !strings.Contains(files[submission.AnswersFile], "\n"+q.Name+":\n") {
					t.Errorf("%s: no %s in answers.yaml", l.Name, q.Name)
				}
			}
			if s.Program != nil && s.Program.Language == submission.Go {
				if _, err := parser.ParseFile(token.NewFileSet(), s.Program.File, s.Program.Source, 0); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// TestStarter checks the program of a lab that has none to start from.
func TestStarter(t *testing.T) {
	got, err := labs.Load(folder(forkYAML(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{submission.Go, submission.C} {
		files, err := got[0].Template(language)
		if err != nil || !strings.HasPrefix(files["prog."+language], "// The program of fork-new: A process is born\n// The child ends with exit status 0, and its parent with exit status 0.\n// It has to print: This is Child Process!\n") {
			t.Errorf("%s: %v\n%s", language, err, files["prog."+language])
		}
	}
}
