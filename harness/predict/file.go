package predict

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"kernellab/harness/grade"
	"kernellab/harness/submission"
	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
)

// maxFile bounds a file of answers, in bytes.
const maxFile = 1 << 20

// File is the file of answers in which the predictions are kept.
type File struct {
	Path      string
	Questions []grade.Question
	Answers   grade.Answers // answers that can be read; the others are not in here
	// Unreadable are the problems of the answers that are asked for again.
	Unreadable []*submission.Problem

	text string
}

// Open reads the file of answers in a folder. If there is none, the file begins as blank
// and is written with the first answer.
func Open(dir, blank string, questions []grade.Question) (*File, error) {
	f := &File{Path: filepath.Join(dir, submission.AnswersFile), Questions: questions, text: blank}
	if _, err := os.Stat(filepath.Join(dir, "lab.yaml")); err == nil {
		return nil, usage.Errorf("%s is the folder of a lab: give another folder for the predictions", dir)
	}
	text, err := regular.ReadFile(f.Path, maxFile)
	switch {
	case err == nil:
		f.text = string(text)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, usage.Wrap(err)
	}
	var problems []*submission.Problem
	f.Answers, problems = submission.ReadAnswers([]byte(f.text), questions)
	for _, p := range problems {
		if p.Question == "" {
			return nil, usage.Errorf("%s: correct the file, or give another folder: %w", dir, p)
		}
	}
	f.Unreadable = slices.DeleteFunc(problems, func(p *submission.Problem) bool { return p.Free })
	for name, a := range f.Answers {
		for where, value := range a {
			if _, bad := value.(grade.Invalid); bad {
				delete(a, where)
			}
		}
		if len(a) == 0 {
			delete(f.Answers, name)
		}
	}
	return f, nil
}

// Answer returns the answer to a question that counts on all kernels of an architecture.
func (f *File) Answer(q grade.Question, arch string) (value any, ok bool) {
	return f.Answers[q.Name].On(arch, "")
}

// Unanswered returns the indices of the questions without an answer for an architecture.
func (f *File) Unanswered(arch string) []int {
	var open []int
	for i, q := range f.Questions {
		if _, ok := f.Answer(q, arch); !ok {
			open = append(open, i)
		}
	}
	return open
}

// Given is an answer to one of the file's questions.
type Given struct {
	Question int
	Value    any
}

// Set records answers for an architecture and writes the file, whole or not at all.
// Answers for other architectures stay.
func (f *File) Set(arch string, all ...Given) error {
	text, answers := f.text, grade.Answers{}
	for name, a := range f.Answers {
		answers[name] = a
	}
	for _, g := range all {
		q := f.Questions[g.Question]
		answers[q.Name] = with(answers[q.Name], arch, g.Value)
		text = replace(text, q.Name, submission.FormatAnswer(q, answers[q.Name]))
	}
	// The file may be laid out in a way that replace does not know.
	got, problems := submission.ReadAnswers([]byte(text), f.Questions)
	for name, want := range answers {
		if !reflect.DeepEqual(want, got[name]) {
			return fmt.Errorf("record the answer to %s in %s: the file is not laid out as lab init writes it (%v): write the answer there", name, f.Path, problems)
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return fmt.Errorf("make the folder of the predictions: %w", err)
	}
	if err := atomicfile.WriteBytes(f.Path, 0o644, []byte(text)); err != nil {
		return fmt.Errorf("record the answer: %w", err)
	}
	f.text, f.Answers = text, answers
	return nil
}

// with returns an answer with another value for an architecture. Without answers for
// others the value counts everywhere.
func with(old grade.Answer, arch string, value any) grade.Answer {
	out := grade.Answer{}
	for where, v := range old {
		if where != "" && where != arch && !strings.HasPrefix(where, arch+" ") {
			out[where] = v
		}
	}
	if len(out) == 0 {
		return grade.Answer{"": value}
	}
	out[arch] = value
	return out
}

// begins matches the first line of any answer.
var begins = regexp.MustCompile(`^["']?[A-Za-z0-9_<][^:"']*["']?[ \t]*:([ \t\r]|$)`)

// replace returns the text of a file with another answer behind a name. Comments stay.
func replace(text, name, value string) string {
	line := strings.TrimRight(name+": "+value, " ")
	var out []string
	inside, done := false, false
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		bare := strings.TrimRight(l, "\r")
		blank := strings.TrimSpace(bare) == ""
		switch {
		case begins.MatchString(bare):
			key, _, _ := strings.Cut(bare, ":")
			if inside = strings.Trim(key, "\"' \t") == name; inside {
				l, done = line, true
			}
		case inside && !blank && strings.ContainsAny(bare[:1], " \t-]}"):
			continue // the rest of the old answer
		default:
			inside = false
		}
		out = append(out, l)
	}
	if !done {
		out = append(out, line)
	}
	return strings.TrimLeft(strings.Join(out, "\n"), "\n") + "\n"
}
