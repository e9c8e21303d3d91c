package submission_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/grade"
	"kernellab/harness/submission"
)

// questions are one of each type.
func questions() []grade.Question {
	names := func(words ...string) (out []grade.Alternative) {
		for _, w := range words {
			out = append(out, grade.Alternative{Name: w})
		}
		return out
	}
	return []grade.Question{
		{Name: "distance", Type: grade.TypeNumber, Unit: "bytes"},
		{Name: "count", Type: grade.TypeNumber},
		{Name: "start", Type: grade.TypeAddress},
		{Name: "first", Type: grade.TypeSymbol},
		{Name: "who", Type: grade.TypeChoice, Choices: names("the parent", "the child", "0")},
		{Name: "path", Type: grade.TypeOrder, Choices: names("copy_thread", "sys_clone", "kernel_clone")},
		{Name: "shared", Type: grade.TypeSet, Choices: names("memory", "files", "fs")},
	}
}

func asked() submission.Options {
	return submission.Options{Answers: submission.Required, Questions: questions()}
}

func every(v any) grade.Answer { return grade.Answer{"": v} }

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		yaml string
		want grade.Answers
	}{
		"decimal":             {"distance: 168", grade.Answers{"distance": every(168)}},
		"hexadecimal":         {"distance: 0xA8", grade.Answers{"distance": every(168)}},
		"quoted":              {`distance: "168"`, grade.Answers{"distance": every(168)}},
		"with a unit":         {"distance: 168 bytes", grade.Answers{"distance": every(168)}},
		"unit without space":  {"distance: 168Bytes", grade.Answers{"distance": every(168)}},
		"one byte":            {"distance: 1 byte", grade.Answers{"distance": every(1)}},
		"KiB":                 {"distance: 16 KiB", grade.Answers{"distance": every(16384)}},
		"MiB":                 {"distance: 0x10 MiB", grade.Answers{"distance": every(16 << 20)}},
		"negative":            {"count: -3", grade.Answers{"count": every(-3)}},
		"fraction":            {"count: 2.50", grade.Answers{"count": every(2.5)}},
		"zero":                {"count: 0", grade.Answers{"count": every(0)}},
		"64 bits":             {"count: 0xffffffffffffffff", grade.Answers{"count": every(-1)}},
		"address":             {"start: 0xffffffff81097380", grade.Answers{"start": every(-0x7ef68c80)}},
		"bare address":        {"start: ffffffff81097380", grade.Answers{"start": every(-0x7ef68c80)}},
		"digits only address": {"start: 0000000000401000", grade.Answers{"start": every(0x401000)}},
		"symbol":              {"first: ret_from_fork", grade.Answers{"first": every("ret_from_fork")}},
		"called symbol":       {"first: ret_from_fork()", grade.Answers{"first": every("ret_from_fork")}},
		"isra":                {"first: finish_task_switch.isra.0", grade.Answers{"first": every("finish_task_switch.isra.0")}},
		"choice":              {"who: The  Parent", grade.Answers{"who": every("the parent")}},
		"choice is a number":  {"who: 0", grade.Answers{"who": every("0")}},
		"order":               {"path: [sys_clone, kernel_clone, copy_thread]", grade.Answers{"path": every([]string{"sys_clone", "kernel_clone", "copy_thread"})}},
		"order in lines":      {"path:\n  - sys_clone\n  - kernel_clone # second\n  - copy_thread\n", grade.Answers{"path": every([]string{"sys_clone", "kernel_clone", "copy_thread"})}},
		"set":                 {"shared: [fs, memory]", grade.Answers{"shared": every([]string{"fs", "memory"})}},
		"empty set":           {"shared: []", grade.Answers{"shared": every([]string{})}},
		"by architecture": {"distance: {x86_64: 168, riscv64: 288}\nfirst:\n  x86_64: a\n  riscv64: b\n", grade.Answers{
			"distance": {"x86_64": 168, "riscv64": 288}, "first": {"x86_64": "a", "riscv64": "b"}}},
		"one architecture":   {"path:\n  x86_64: [sys_clone, kernel_clone, copy_thread]\n  riscv64:\n", grade.Answers{"path": {"x86_64": []string{"sys_clone", "kernel_clone", "copy_thread"}}}},
		"by kernel":          {"start: {x86_64: 0x1, x86_64 6.12: 0x2, x86_64  7.2.13+deb14-cloud-amd64: 0x3}", grade.Answers{"start": {"x86_64": 1, "x86_64 6.12": 2, "x86_64 7.2.13+deb14-cloud-amd64": 3}}},
		"not answered":       {"distance:\ncount: ~\nstart: null\nfirst: \"\"\npath: []\nwho: # the parent\n", grade.Answers{}},
		"nothing":            {"", grade.Answers{}},
		"comments only":      {"# nothing\n\n# at all\n", grade.Answers{}},
		"a mark, CRLF lines": {"\ufeffdistance: 168\r\nwho: the child\r\n", grade.Answers{"distance": every(168), "who": every("the child")}},
		"a document's marks": {"---\ncount: 1\n", grade.Answers{"count": every(1)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := read(t, folder(t, map[string]string{"answers.yaml": tt.yaml}), asked())
			if len(s.Problems) > 0 {
				t.Fatalf("problems: %v", s.Problems)
			}
			if diff := cmp.Diff(tt.want, s.Answers); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswersRefused(t *testing.T) {
	const whole = "*"
	tests := map[string]struct {
		yaml     string
		question string // the one that it costs
		want     string // the problem
	}{
		"unknown question":      {"count: 1\ndistanse: 3", "distanse", `answers.yaml:2: no question "distanse": did you mean distance?`},
		"not a number":          {"distance: many", "distance", `answers.yaml:1: distance: want a number of bytes such as 24 or 0x18, not "many"`},
		"a sum":                 {"count: 1 + 2", "count", `want a number such as 24 or 0x18, not "1 + 2"`},
		"another unit":          {"distance: 168 bits", "distance", `not "168 bits"`},
		"unit of none":          {"count: 168 bytes", "count", `not "168 bytes"`},
		"octal":                 {"count: 017", "count", `"017" begins with 0`},
		"infinite":              {"count: .inf", "count", `not ".inf"`},
		"not a number at all":   {"count: .nan", "count", `not ".nan"`},
		"too long a number":     {"count: 99999999999999999999", "count", `does not fit in 64 bits`},
		"too long in MiB":       {"distance: 0x7fffffffffffff MiB", "distance", `does not fit in 64 bits`},
		"true":                  {"count: true", "count", `not "true"`},
		"a list for a number":   {"count: [1]", "count", `want one answer and not a list: a number`},
		"an unknown machine":    {"count: {x86-64: 1}", "count", `answers.yaml:1: count: unknown architecture "x86-64": did you mean x86_64?`},
		"no kernel":             {"count: {x86_64 linux: 1}", "count", `count: no kernel "linux": name a series or a version, as in "x86_64 6.12"`},
		"deep":                  {"count: {x86_64: {x86_64: 1}}", "count", `want a number`},
		"a list in a list":      {"path: [[sys_clone]]", "path", `want a list of words`},
		"no address":            {"start: 401000", "start", `want an address such as 0xffffffff81000000, not "401000"`},
		"too long an address":   {"start: 0xffffffff810973800", "start", `want an address`},
		"no symbol":             {"first: it is called by no one", "first", `want the name of a function`},
		"no choice":             {"who: parent", "who", `"parent" is not one of the choices: did you mean the parent?`},
		"nothing like a choice": {"who: everybody knows", "who", `is not one of the choices: the parent, the child, 0`},
		"a word for an order":   {"path: sys_clone", "path", `want a list, such as [copy_thread, sys_clone]`},
		"a part of an order":    {"path: [sys_clone, kernel_clone]", "path", `these are missing: copy_thread`},
		"a point twice":         {"path: [sys_clone, sys_clone, copy_thread]", "path", `"sys_clone" is listed twice`},
		"an unknown point":      {"path: [sys_clone, kernel_clon, copy_thread]", "path", `did you mean kernel_clone`},
		"unknown in a set":      {"\n\nshared: [memry]", "shared", `answers.yaml:3: shared: "memry" is not one of the choices: did you mean memory?`},
		"key twice":             {"count: 1\ncount: 2", "count", `answers.yaml:2: count: it is there 2 times`},
		"no YAML":               {"count: [1", "count", `answers.yaml:1: count: not YAML: `},
		"a list":                {"- count\n", whole, `answers.yaml:1: want a question's name, a colon`},
		"a text":                {"dear teacher\n", whole, `want a question's name, a colon`},
		"two documents":         {"count: 1\n---\ncount: 2\n", whole, `2 YAML documents`},
		"an anchor":             {"who: the child\n\ncount: &a 1\n", "count", `answers.yaml:3: count: "&" is an anchor or alias`},
		"a bomb":                {"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", whole, `anchor or alias`},
		"merge":                 {"count: 1\n<<: {x: 1}\n", "<<", `answers.yaml:2: no question "<<"`},
		"a tag":                 {"count: !!binary aGk=\n", "count", `has a meaning in YAML that answers may not use`},
		"a directive":           {"%YAML 1.1\n---\ncount: 1\n", whole, `has a meaning in YAML`},
		"a key that is a map":   {"? {a: 1}\n: 1\n", whole, `has a meaning in YAML`},
		"nesting":               {"count: " + strings.Repeat("[", 60000), whole, `too long: `},
		"some nesting":          {"count: " + strings.Repeat("[", 20), "count", `brackets nested more than 8 deep`},
		"nested dashes":         {strings.Repeat("- ", 1900) + "x", whole, `answers.yaml`},
		"nested keys":           {"count:\n" + nest(300), "count", `answers.yaml`},
		"a megabyte":            {strings.Repeat("# lines\n", 1<<17), whole, `larger than 64 KiB`},
		"bytes":                 {"count: \xff\xfe", whole, `not a text file: save it as UTF-8`},
		"UTF-16":                {"\xff\xfec\x00:\x00", whole, `not a text file`},
		"a null":                {"count: 1\x00", whole, `not a text file`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := read(t, folder(t, map[string]string{"answers.yaml": tt.yaml}), asked())
			if len(s.Problems) == 0 || !strings.Contains(s.Problems[0].Error(), tt.want) {
				t.Fatalf("problems %v, want %q", s.Problems, tt.want)
			}
			p := s.Problems[0]
			if !strings.HasPrefix(p.Error(), "answers.yaml") || p.Part != submission.PartAnswers {
				t.Errorf("problem %+v is not about answers.yaml", p)
			}
			costs := p.Question
			if costs == "" {
				costs = whole
			}
			if costs != tt.question {
				t.Errorf("the problem costs %q, want %q", costs, tt.question)
			}
			if all := s.Problem(submission.PartAnswers) != nil; all != (tt.question == whole) {
				t.Errorf("the whole part is at fault: %t", all)
			}
			for _, q := range questions() {
				_, invalid := s.Answers[q.Name][""].(grade.Invalid)
				if tt.question == whole && !invalid {
					t.Errorf("%s is %v, want invalid", q.Name, s.Answers[q.Name])
				}
			}
			t.Log(p)
		})
	}
}

// nest is a mapping in a mapping, and so on.
func nest(levels int) string {
	var b strings.Builder
	for i := range levels {
		b.WriteString(strings.Repeat(" ", i+1) + "x86_64:\n")
	}
	return b.String()
}

// What is wrong with one answer leaves the others as they are.
func TestAnswersApart(t *testing.T) {
	text := "# mine\ncount: 1\nwho: &a the child\ndistance: 24\n\ndistance: 24\nfirst: [x\nshared:\n  - memory\nmine: *a\n"
	s := read(t, folder(t, map[string]string{"answers.yaml": text}), asked())
	var told []string
	for _, p := range s.Problems {
		told = append(told, fmt.Sprintf("%s %t", p, p.Free))
	}
	want := []string{
		`answers.yaml:3: who: "&" is an anchor or alias of YAML, which answers may not use: put it in quotes if it is text false`,
		`answers.yaml:6: distance: it is there 2 times false`,
		`answers.yaml:7: first: not YAML: sequence end token ']' not found false`,
		`answers.yaml:10: no question "mine" true`,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for name, a := range s.Answers {
		_, invalid := a[""].(grade.Invalid)
		if good := name == "count" || name == "shared"; invalid == good {
			t.Errorf("%s is %v", name, a)
		}
	}
	if len(s.Answers) != 5 || s.Problem(submission.PartAnswers) != nil {
		t.Errorf("answers %v, and the whole part costs %v", s.Answers, s.Problem(submission.PartAnswers))
	}
}

func TestAnswersTellEveryMistake(t *testing.T) {
	s := read(t, folder(t, map[string]string{"answers.yaml": "count: x\nwho: y\ndistance: 1\n" + strings.Repeat("k", 300) + ": 1\n"}), asked())
	if len(s.Problems) != 3 {
		t.Fatalf("problems: %v", s.Problems)
	}
	if diff := cmp.Diff(every(1), s.Answers["distance"]); diff != "" {
		t.Errorf("the answer that is right (-want +got):\n%s", diff)
	}
	var many strings.Builder
	for i := range 900 {
		many.WriteString(strings.Repeat("z", i+1) + ": 1\n")
	}
	if s = read(t, folder(t, map[string]string{"answers.yaml": many.String()[:60<<10]}), asked()); len(s.Problems) == 0 || len(s.Problems) > 25 {
		t.Errorf("%d problems", len(s.Problems))
	}
}

func TestAnswersNeeded(t *testing.T) {
	dir := folder(t, map[string]string{"answers.yml": "count: 1\n"})
	s := read(t, dir, asked())
	if p := s.Problem(submission.PartAnswers); p == nil || !strings.Contains(p.Error(), "rename answers.yml to answers.yaml") {
		t.Errorf("problems: %v", s.Problems)
	}
	o := asked()
	o.Answers = submission.Optional
	if s = read(t, dir, o); s.Answers != nil || len(s.Problems) > 0 {
		t.Errorf("optional: answers %v, problems %v", s.Answers, s.Problems)
	}
	if s = read(t, dir, submission.Options{}); s.Answers != nil || len(s.Problems) > 0 {
		t.Errorf("not asked: answers %v, problems %v", s.Answers, s.Problems)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"distance: 168\nwho: the parent\npath: [sys_clone, kernel_clone, copy_thread]\nshared: []\n",
		"a: &x {<<: *x}\n", "? [\n", "count: {x86_64: 0x1, riscv64: -2.5}\n", "- - - -", "\ufeff---\r\n...\n", "first: |\n  x\n", "'", "a: \"\\",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		answers, problems := submission.ParseAnswers(data, questions())
		for _, p := range problems {
			if !strings.HasPrefix(p.Error(), "answers.yaml") {
				t.Errorf("problem %q does not begin with the file", p)
			}
		}
		for name := range answers {
			found := false
			for _, q := range questions() {
				found = found || q.Name == name
			}
			if !found {
				t.Errorf("an answer to no question: %q", name)
			}
		}
	})
}
