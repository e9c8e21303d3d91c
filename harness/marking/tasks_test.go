package marking

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/class"
	"kernellab/harness/grade"
	"kernellab/harness/report"
	"kernellab/harness/report/words"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// secretOf is a secret of a class.
func secretOf(t *testing.T) variant.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := variant.Make(path); err != nil {
		t.Fatal(err)
	}
	s, err := variant.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// classOf is a class with a student for each value of fork-new's variant, and one more for
// the first of them; the names say whose value is whose.
func classOf(t *testing.T, l labs.Lab, s variant.Secret) (names []string, values map[string]string) {
	t.Helper()
	values = map[string]string{}
	times := map[string]int{}
	own := l.Variants[0].Values[1:]
	for i := 0; len(names) <= len(own); i++ {
		name := "student-" + strings.Repeat("x", i)
		v := l.Student(s, name)["exit_status"]
		if times[v] == 0 || v == own[0] && times[v] == 1 {
			times[v]++
			names, values[name] = append(names, name), v
		}
	}
	return names, values
}

// handIn writes a submission, with the record of a task unless that is nil.
func handIn(t *testing.T, dir, name string, r *variant.Record) class.Student {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"prog.c": "int main(void) { return 1; }\n", "answers.yaml": "exit-code: 7\n"}
	if r != nil {
		files[variant.File] = r.Text()
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(path, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return class.Student{Name: name, Path: path}
}

// TestFits hands in, as each student's, what is right in the task of own[0]: the run of a
// child that ends with that status, and the answer. It is right for those who have that
// task. The others lose what differs, and the finding names those whose task it fits, for
// the instructor only.
func TestFits(t *testing.T) {
	m := marker(t)
	m.Tasks.Secret = secretOf(t)
	names, values := classOf(t, m.lab, m.Tasks.Secret)
	m.Tasks.Class = names
	theirs := m.lab.Variants[0].Values[1]
	var same []string
	for _, name := range names {
		if values[name] == theirs {
			same = append(same, name)
		}
	}
	if len(same) != 2 {
		t.Fatalf("%v of %v have %s", same, values, theirs)
	}
	target := m.targets[0]
	tr := tracetest.Fork(target.Arch.Name)
	tr.Events[tracetest.Index(tr, "release_task")].Reads["exit_code"] = 3 << 8
	if theirs != "3" {
		t.Fatalf("the first value is %s", theirs)
	}
	for _, name := range names {
		task, err := m.lab.With(m.lab.Student(m.Tasks.Secret, name))
		if err != nil {
			t.Fatal(err)
		}
		rules := task.Rules(target.Arch.Name)
		rules.Answers = grade.Answers{"exit-code": {"": 4 << 8}}
		s := grade.Submitted{Rules: rules, Trace: tr}
		res := grade.GradeSubmission(s)
		got := m.fits(target, task)(s, res)
		if values[name] == theirs {
			if len(got) > 0 {
				t.Errorf("%s: %+v, want nothing in the own task", name, got)
			}
			continue
		}
		checks := []string{"the child ends with the exit status that is asked for", "exit-code"}
		want := []verdict.Finding{{Kind: verdict.FindFits, Visibility: verdict.Hidden, Fact: verdict.Fact{
			Case: verdict.CaseFits, Checks: checks, Students: same,
		}}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", name, diff)
		}
		if text := words.Finding(got[0].Fact); !strings.HasPrefix(text, "wrong here, and right in the task of "+strings.Join(same, ", ")) {
			t.Errorf("the sentence is %q", text)
		}
		res.Findings = append(res.Findings, got...)
		if text := report.Feedback(verdict.NewDocument(words.Result(res)), rules); strings.Contains(text, same[0]) || strings.Contains(text, "right in the task") {
			t.Errorf("%s reads whose task it fits:\n%s", name, text)
		}
	}
}

// A student's task depends on the ID alone, whatever the submission says; a class without
// a secret grades by the lab's own task what records none.
func TestTaskOf(t *testing.T) {
	secret := secretOf(t)
	dir := t.TempDir()
	l, err := labs.Get("fork-new")
	if err != nil {
		t.Fatal(err)
	}
	values := func(s variant.Secret, id string) map[string]string { return l.Student(s, id) }
	record := func(s variant.Secret, id string) *variant.Record {
		return &variant.Record{Lab: "fork-new", Student: id, Secret: s.Mark(), Values: values(s, id)}
	}
	none := variant.Secret{}
	odd := record(secret, "alice")
	if i := slices.Index(l.Variants[0].Values, odd.Values["exit_status"]); i > 1 {
		odd.Values = map[string]string{"exit_status": l.Variants[0].Values[i-1]}
	} else {
		odd.Values = map[string]string{"exit_status": l.Variants[0].Values[i+1]}
	}
	for name, tt := range map[string]struct {
		secret variant.Secret
		id     string // "" is the name
		record *variant.Record
		want   map[string]string
		remark string
	}{
		"alice":       {secret, "", record(secret, "alice"), values(secret, "alice"), ""},
		"Alice":       {secret, "", record(secret, "alice"), values(secret, "alice"), ""},
		"no-record":   {secret, "", nil, values(secret, "no-record"), ""},
		"mallory":     {secret, "", record(secret, "alice"), values(secret, "mallory"), "it records the task of alice"},
		"canvas_1234": {secret, "alice", record(secret, "alice"), values(secret, "alice"), ""},
		"changed":     {secret, "alice", odd, values(secret, "alice"), "it records exit_status " + odd.Values["exit_status"]},
		"bob":         {secret, "", record(none, "bob"), values(secret, "bob"), "another secret"},
		"carol":       {none, "", record(none, "carol"), values(none, "carol"), ""},
		"dave":        {none, "", nil, nil, ""},
		"other-lab":   {secret, "", &variant.Record{Lab: "wake-up", Student: "x", Values: map[string]string{"a": "1"}}, values(secret, "other-lab"), "it is of the lab wake-up"},
	} {
		t.Run(name, func(t *testing.T) {
			m := marker(t)
			m.Tasks = Tasks{Secret: tt.secret, Class: []string{name}, IDs: map[string]string{}}
			if tt.id != "" {
				m.Tasks.IDs[name] = tt.id
			}
			task, s, err := m.read(t.Context(), handIn(t, dir, name, tt.record))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, task.Chosen); diff != "" {
				t.Errorf("the task (-want +got):\n%s", diff)
			}
			var remarks []string
			for _, p := range s.Problems {
				if !p.Free {
					t.Errorf("%v costs marks", p)
				}
				remarks = append(remarks, p.Error())
			}
			if text := strings.Join(remarks, "\n"); (text == "") != (tt.remark == "") || !strings.Contains(text, tt.remark) {
				t.Errorf("remarks %q, want one with %q", text, tt.remark)
			}
		})
	}
}

// A secret that most of a class did not have is the instructor's mistake; one student's
// file is not.
func TestCheckSecret(t *testing.T) {
	secret, other := secretOf(t), secretOf(t)
	dir := t.TempDir()
	var students []class.Student
	for i, s := range []variant.Secret{secret, secret, other} {
		name := "s" + strings.Repeat("x", i)
		r := variant.Record{Lab: "fork-new", Student: name, Secret: s.Mark(), Values: map[string]string{"exit_status": "7"}}
		students = append(students, handIn(t, dir, name, &r))
	}
	students = append(students, handIn(t, dir, "without", nil), class.Student{Name: "link", Link: true})
	for _, tt := range []struct {
		secret variant.Secret
		want   string
	}{{secret, ""}, {other, "2 of the 3 submissions"}, {variant.Secret{}, "a secret chose, and none was given"}} {
		m := marker(t)
		m.Tasks.Secret = tt.secret
		err := m.CheckSecret(t.Context(), students)
		var wrong *SecretError
		if (err == nil) != (tt.want == "") || err != nil && (!errors.As(err, &wrong) || !usage.Is(err) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("secret %s: %v, want %q", tt.secret.Mark(), err, tt.want)
		}
	}
}

func TestReadIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ids.csv")
	for text, want := range map[string]string{
		"a,1\n\"b, c\",2\n": "",
		"a\n":               "want lines NAME,ID",
		"a,1\na,2\n":        ":2: \"a\" is there twice",
		"a,\n":              ":1: a student's ID is empty",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		ids, err := ReadIDs(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if want == "" && (ids["a"] != "1" || ids["b, c"] != "2") {
			t.Errorf("IDs %v", ids)
		}
	}
}
