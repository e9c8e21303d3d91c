package predict_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/predict"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/trace/tracetest"
	"kernellab/harness/verdict"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func names(words ...string) (out []grade.Alternative) {
	for _, w := range words {
		out = append(out, grade.Alternative{Name: w})
	}
	return out
}

// questions are one of each type.
func questions() []grade.Question {
	return []grade.Question{
		{Name: "who", Type: grade.TypeChoice, Prompt: "Who frees the child?", Choices: names("its parent's", "0, it is alive", "init's")},
		{Name: "path", Type: grade.TypeOrder, Prompt: "In which order?", Choices: names("copy_thread", "sys_clone", "kernel_clone")},
		{Name: "shared", Type: grade.TypeSet, Prompt: "What is shared?", Choices: names("open files", "the memory: all of it", "fs")},
		{Name: "start", Type: grade.TypeAddress, Prompt: "Where?"},
		{Name: "distance", Type: grade.TypeNumber, Unit: "bytes", Prompt: "How many?"},
		{Name: "first", Type: grade.TypeSymbol, Prompt: "Which function?"},
	}
}

const blank = "# Answers.\n\n# Who?\nwho:\n\n# In which order?\npath:\n\nshared:\nstart:\ndistance:\nfirst:\n"

func open(t *testing.T, dir string) *predict.File {
	t.Helper()
	f, err := predict.Open(dir, blank, questions())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func dialogue(f *predict.File) (*predict.Dialogue, *bytes.Buffer) {
	var out bytes.Buffer
	return &predict.Dialogue{File: f, Arch: "x86_64", Out: &out, Width: 80}, &out
}

// answers reads the file of a folder as a submission's is read.
func answers(t *testing.T, dir string) grade.Answers {
	t.Helper()
	s, err := submission.Read(t.Context(), dir, submission.Options{Answers: submission.Required, Questions: questions()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Problems {
		t.Errorf("handed in: %v", p)
	}
	return s.Answers
}

func every(v any) grade.Answer { return grade.Answer{"": v} }

var told = grade.Answers{
	"who": every("0, it is alive"), "path": every([]string{"sys_clone", "kernel_clone", "copy_thread"}),
	"shared": every([]string{"open files", "the memory: all of it"}), "start": every(-0x7f000000),
	"distance": every(168), "first": every("ret_from_fork"),
}

func TestParse(t *testing.T) {
	q := map[string]grade.Question{}
	for _, one := range questions() {
		q[one.Name] = one
	}
	for _, tt := range []struct {
		question, line string
		want           any
		err            string
	}{
		{"who", "2", "0, it is alive", ""},
		{"who", " Its  parent's ", "its parent's", ""},
		{"who", "0, it is alive", "0, it is alive", ""},
		{"who", "0", nil, "want a number from 1 to 3, not 0"},
		{"who", "4", nil, "want a number from 1 to 3, not 4"},
		{"who", "1 2", nil, `"1 2" is not one of the choices`},
		{"who", "nobody", nil, `"nobody" is not one of the choices`},
		{"path", "2 3 1", []string{"sys_clone", "kernel_clone", "copy_thread"}, ""},
		{"path", "2,3, 1", []string{"sys_clone", "kernel_clone", "copy_thread"}, ""},
		{"path", "sys_clone, kernel_clone, copy_thread", []string{"sys_clone", "kernel_clone", "copy_thread"}, ""},
		{"path", "2 3", nil, "these are missing: copy_thread"},
		{"path", "2 3 3", nil, `"kernel_clone" is listed twice`},
		{"path", "2 3 4", nil, "want a number from 1 to 3, not 4"},
		{"shared", "1 2", []string{"open files", "the memory: all of it"}, ""},
		{"shared", "fs, open files", []string{"fs", "open files"}, ""},
		{"shared", "None", []string{}, ""},
		{"shared", "files", nil, `"files" is not one of the choices`},
		{"start", "0xffffffff81000000", -0x7f000000, ""},
		{"start", "81000000", nil, "want an address"},
		{"distance", "0xa8 bytes", 168, ""},
		{"distance", "many", nil, "want a number of bytes"},
		{"first", "ret_from_fork()", "ret_from_fork", ""},
		{"first", "ret from fork", nil, "want the name of a function"},
	} {
		got, err := predict.Parse(q[tt.question], tt.line)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %q: error %v, want %q", tt.question, tt.line, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %q: -want +got\n%s", tt.question, tt.line, diff)
		}
	}
}

// prompts calls a function at each prompt that is written.
type prompts struct {
	bytes.Buffer
	at func(n int)
	n  int
}

func (p *prompts) Write(text []byte) (int, error) {
	if string(text) == "> " {
		p.at(p.n)
		p.n++
	}
	return p.Buffer.Write(text)
}

// Each answer is in the file, as a submission has it, before the next question is asked.
func TestAsk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mine")
	steps := []struct{ line, answers string }{
		{"5", ""}, {"?", ""}, {"<", ""}, {"2", "who"}, {"2 3 1", "path"}, {"1, 2", "shared"},
		{"", ""}, // the address is left for after the run
		{"much", ""}, {"168", "distance"}, {"ret_from_fork()", "first"},
	}
	so, lines := grade.Answers{}, ""
	for _, s := range steps {
		lines += s.line + "\n"
	}
	out := &prompts{at: func(n int) {
		if len(so) > 0 {
			if diff := cmp.Diff(so, answers(t, dir)); diff != "" {
				t.Errorf("when line %d is asked for: -want +got\n%s", n+1, diff)
			}
		}
		if name := steps[n].answers; name != "" {
			so[name] = told[name]
		}
	}}
	d := &predict.Dialogue{File: open(t, dir), Arch: "x86_64", Out: out, Width: 80}
	if err := d.Ask(t.Context(), strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(so, answers(t, dir)); diff != "" || out.n != len(steps) {
		t.Errorf("at the end, after %d prompts: -want +got\n%s", out.n, diff)
	}
	for _, l := range strings.Split(out.String(), "\n") {
		if utf8.RuneCountInString(l) > 80 || strings.ContainsRune(l, 0x1b) {
			t.Errorf("not a plain line of 80 columns: %q", l)
		}
	}
	for _, want := range []string{"Question 1 of 6\nWho frees the child?\n   1  its parent's\n", "want a number from 1 to 3, not 5", "This is the first question.", "You predict sys_clone → kernel_clone → copy_thread.", "Enter leaves it for after the run"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, out.String())
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, submission.AnswersFile))
	if err != nil || !strings.HasPrefix(string(text), "# Answers.\n\n# Who?\nwho: \"0, it is alive\"\n\n# In which order?\npath: [") {
		t.Errorf("the file: %v\n%s", err, text)
	}
}

// A dialogue that is stopped goes on with the first question that is not answered.
func TestStopped(t *testing.T) {
	dir := t.TempDir()
	d, _ := dialogue(open(t, dir))
	err := d.Ask(t.Context(), strings.NewReader("2\n2 3 1\n"))
	var stopped *predict.StoppedError
	if !errors.As(err, &stopped) || stopped.Answered != 2 || stopped.Asked != 6 {
		t.Fatalf("at the end of input: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in, _ := io.Pipe()
	d, out := dialogue(open(t, dir))
	if err := d.Ask(ctx, in); !errors.As(err, &stopped) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "2 of 6 questions are answered") {
		t.Fatalf("interrupted: %v", err)
	}
	if want := "2 of 6 questions are answered in "; !strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "Question 3 of 6\n") || strings.Contains(out.String(), "Question 2") {
		t.Errorf("what is asked:\n%s", out)
	}
}

// What is skipped is asked again the next time, and an answer can be corrected.
func TestBackAndSkip(t *testing.T) {
	dir := t.TempDir()
	d, out := dialogue(open(t, dir))
	lines := []string{
		"1", "2 3 1", // who, path
		"<", "<", // back to path, then to who
		"2",    // who, corrected; path is answered, so shared comes next
		"", "", // shared is skipped, after the second Enter
		"",        // start
		"", "168", // an Enter by mistake
		"ret_from_fork",
	}
	if err := d.Ask(t.Context(), strings.NewReader(strings.Join(lines, "\n")+"\n")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := grade.Answers{"who": told["who"], "path": told["path"], "distance": told["distance"], "first": told["first"]}
	if diff := cmp.Diff(want, answers(t, dir)); diff != "" {
		t.Errorf("-want +got\n%s\n%s", diff, out)
	}
	for _, says := range []string{"Your prediction is its parent's. Enter keeps it.", "Skip this question? Enter skips it."} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("nothing says %q:\n%s", says, out)
		}
	}
	d, out = dialogue(open(t, dir))
	if err := d.Ask(t.Context(), strings.NewReader("1 2\n0xffffffff81000000\n")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(told, answers(t, dir)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	d, out = dialogue(open(t, dir))
	if err := d.Ask(t.Context(), strings.NewReader("")); err != nil || !strings.HasPrefix(out.String(), "6 of 6 questions are answered") {
		t.Errorf("all answered: %v\n%s", err, out)
	}
}

func TestAskLines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, submission.AnswersFile)
	for input, want := range map[string]string{
		"2\n9 9 9\n1\n\n168\nx y\n": "line 2, path: want a number from 1 to 3, not 9\nline 6, first: want the name",
		"2\n":                       "line 2, path: there is no such line: give one for each of the 6 unanswered questions",
		"":                          "line 1, who: there is no such line",
		"\n\n\n\n\n\n1\n":           "line 7: all 6 unanswered questions have a line already",
	} {
		d, _ := dialogue(open(t, dir))
		err := d.AskLines(strings.NewReader(input))
		if !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", input, err, want)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%q: a file was written", input)
		}
	}
	d, _ := dialogue(open(t, dir))
	if err := d.AskLines(strings.NewReader("2\n2 3 1\n\n\n168\nret_from_fork")); err != nil {
		t.Fatal(err)
	}
	d, _ = dialogue(open(t, dir)) // the two that are left
	if err := d.AskLines(strings.NewReader("1 2\n0xffffffff81000000\n\n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(told, answers(t, dir)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// The file may be a person's own: what else it says stays, and what cannot be changed
// safely is refused.
func TestFile(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"comments":              {"# mine\nwho: init's # sure\n# more\ndistance:\n", "# mine\nwho: init's # sure\n# more\ndistance: 168\n"},
		"a list over lines":     {"distance:\npath:\n- sys_clone\n- copy_thread\n- kernel_clone\n", "distance: 168\npath:\n- sys_clone\n- copy_thread\n- kernel_clone\n"},
		"others' architectures": {"distance: {riscv64: 288}\n", "distance: {riscv64: 288, x86_64: 168}\n"},
		"over lines":            {"distance:\n  riscv64: 288\nwho: init's\n", "distance: {riscv64: 288, x86_64: 168}\nwho: init's\n"},
		"a wrong answer":        {"distance: far\nwho: init's\n", "distance: 168\nwho: init's\n"},
		"in quotes":             {"\"distance\": \"\"\n", "distance: 168\n"},
		"not there":             {"who: init's", "who: init's\ndistance: 168\n"},
		"empty":                 {"", "distance: 168\n"},
		"an unknown name":       {"who-fees: me\n", "who-fees: me\ndistance: 168\n"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, submission.AnswersFile)
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, dir).Set("x86_64", predict.Given{Question: 4, Value: 168}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != tt.want {
			t.Errorf("%s: %v, got %q, want %q", name, err, text, tt.want)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, submission.AnswersFile)
	for text, want := range map[string]string{
		"{who: init's, distance: 1}\n": "not laid out as lab init writes it",
		"who: \x00\n":                  "correct the file",
		"- a\n":                        "correct the file",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := predict.Open(dir, blank, questions())
		if err == nil {
			err = f.Set("x86_64", predict.Given{Question: 4, Value: 168})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if again, _ := os.ReadFile(path); string(again) != text {
			t.Errorf("%q was changed: %q", text, again)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := predict.Open(dir, blank, questions()); !usage.Is(err) || !strings.Contains(err.Error(), "is the folder of a lab") {
		t.Errorf("the folder of a lab: %v", err)
	}
}

// The form of every lab takes a prediction for each of its questions.
func TestForms(t *testing.T) {
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		form, err := l.Template(l.Languages()[0])
		if err != nil {
			t.Fatal(err)
		}
		dir, asked := t.TempDir(), l.Handed().Questions
		f, err := predict.Open(dir, form[submission.AnswersFile], asked)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, q := range asked {
			lines = append(lines, map[string]string{
				grade.TypeChoice: fmt.Sprint(len(q.Choices)), grade.TypeSet: fmt.Sprint("1 ", len(q.Choices)), grade.TypeNumber: "0x10",
				grade.TypeAddress: "0xffffffff81000000", grade.TypeSymbol: "schedule",
				grade.TypeOrder: strings.Trim(fmt.Sprint(upTo(len(q.Choices))), "[]"),
			}[q.Type])
		}
		d, _ := dialogue(f)
		if err := d.AskLines(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		s, err := submission.Read(t.Context(), dir, submission.Options{Answers: submission.Required, Questions: asked})
		if err != nil || len(s.Problems) > 0 || len(s.Answers) != len(asked) {
			t.Errorf("%s: handed in: %v, %v, %d answers to %d questions", l.Name, err, s.Problems, len(s.Answers), len(asked))
		}
	}
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, n-i)
	}
	return all
}

// recorded is a run of a lab's own program.
func recorded(t *testing.T, lab string) *trace.Trace {
	t.Helper()
	return tracetest.Recorded(t, "../recording/testdata/"+lab+".x86_64.jsonl.gz")
}

// Predictions are compared with what a recorded run shows.
func TestCompare(t *testing.T) {
	l, err := labs.Get("exit-paths")
	if err != nil {
		t.Fatal(err)
	}
	given := grade.Answers{
		"meet": every("get_signal"), "code-exit": every(0x700), "code-killed": {"riscv64": 9},
		"who-clears": every("whichever task runs next on its CPU"),
	}
	rules := l.Rules("x86_64")
	got := map[string]predict.Row{}
	for _, r := range predict.Compare(recorded(t, l.Name), rules, given) {
		got[r.Name] = r
	}
	if len(got) != len(rules.Questions) {
		t.Errorf("%d rows for %d questions", len(got), len(rules.Questions))
	}
	for name, want := range map[string][3]string{
		"meet":        {"get_signal", "do_group_exit", string(verdict.Fail)},
		"code-exit":   {"1792", "1792", string(verdict.Pass)},
		"code-killed": {"", "", string(verdict.Skip)}, // answered for another architecture
		"path":        {"", "", string(verdict.Skip)},
	} {
		r := got[name]
		if diff := cmp.Diff(want, [3]string{r.Predicted, r.Seen, string(r.Verdict)}); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if (r.Read != "") != (r.Verdict == verdict.Fail) {
			t.Errorf("%s: to read %q", name, r.Read)
		}
	}
	// What students do not see of a question, predict does not tell either.
	for i := range rules.Questions {
		rules.Questions[i].Visibility = verdict.Hidden
	}
	for _, r := range predict.Compare(recorded(t, l.Name), rules, given) {
		if r.Verdict != verdict.Skip || r.Seen != "" || r.Read != "" {
			t.Errorf("hidden, and told: %+v", r)
		}
	}
}
