package prepare

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"unicode"

	"kernellab/harness/submission"
	"kernellab/harness/variant"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Asked says whose task is wanted.
type Asked struct {
	Student string // ID, "" for what a submission records
	Secret  variant.Secret
	// Recorded says that a submission without a record has the lab's own task, although
	// its student is known.
	Recorded bool
}

// SecretEnv names the file of the class's secret, where no flag does.
const SecretEnv = "LAB_SECRET"

// Ask returns whose task is wanted: that of a student, as the secret in a file chooses it.
// The file is the one that SecretEnv names if secret is "".
func Ask(student, secret string) (Asked, error) {
	a := Asked{Student: student}
	if secret = cmp.Or(secret, os.Getenv(SecretEnv)); secret == "" {
		return a, nil
	}
	var err error
	if a.Secret, err = variant.Read(secret); err != nil {
		return a, usage.Wrap(err)
	}
	return a, nil
}

// Task returns the lab with the task of a student.
func (a Asked) Task(l labs.Lab) (labs.Lab, error) {
	if a.Student == "" {
		return l, nil
	}
	if err := variant.CheckID(a.Student); err != nil {
		return l, usage.Wrap(err)
	}
	if len(l.Variants) == 0 {
		return l, usage.Errorf("%s is the same for all students: its lab.yaml has no \"variants\"", l.Name)
	}
	return l.With(l.Student(a.Secret, a.Student))
}

// Read reads a submission to the lab, and returns the lab with the task that it is graded
// by: the student's, where the student is known, or the recorded one. A record that says
// something else is a remark. read reads the submission by the questions of a lab.
func (a Asked) Read(l labs.Lab, read func(labs.Lab) (*submission.Submission, error)) (labs.Lab, *submission.Submission, error) {
	s, err := read(l)
	if err != nil || len(l.Variants) == 0 {
		return l, s, err
	}
	task, remarks := a.taskOf(l, s.Recorded)
	if task.Chosen != nil {
		if s, err = read(task); err != nil { // the answers may be to other questions
			return l, nil, err
		}
	}
	s.Problems = append(s.Problems, remarks...)
	return task, s, nil
}

// taskOf returns the lab with the task of a submission that has this record, and remarks.
func (a Asked) taskOf(l labs.Lab, r *variant.Record) (task labs.Lab, remarks []*submission.Problem) {
	remark := func(message, hint string) {
		remarks = append(remarks, &submission.Problem{
			Part: submission.PartTask, File: variant.File, Message: line(message), Hint: line(hint), Free: true,
		})
	}
	values := map[string]string(nil)
	if a.Student != "" {
		values = l.Student(a.Secret, a.Student)
	}
	switch of := fmt.Sprintf("it is graded by the task of %s, which is %s", a.Student, variant.Words(values)); {
	case r == nil:
		if a.Recorded {
			values = nil
		}
	case r.Lab != l.Name:
		remark("it is of the lab "+r.Lab+", and this is "+l.Name, "the record is left out")
		if a.Recorded {
			values = nil
		}
	case values == nil:
		values = r.Values
	case variant.ID(r.Student) != variant.ID(a.Student):
		remark("it records the task of "+r.Student+", which is "+variant.Words(r.Values), of)
	case r.Secret != a.Secret.Mark():
		remark("another secret than the class's chose "+variant.Words(r.Values), of)
	case !maps.Equal(r.Values, values):
		remark("it records "+variant.Words(r.Values), of)
	}
	task, err := l.With(values)
	if err != nil {
		remark(err.Error(), "it is graded by the lab's own task")
	}
	return task, remarks
}

// line makes one short line of a text that may be a student's.
func line(text string) string {
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// SubmissionOf reads what was handed in for a lab, and returns the lab with the task that
// it is graded by. Without a path nothing was handed in, and the task is the one that is
// asked for.
func SubmissionOf(ctx context.Context, l labs.Lab, path string, asked Asked) (labs.Lab, *submission.Submission, error) {
	if path == "" {
		l, err := asked.Task(l)
		return l, nil, err
	}
	return asked.Read(l, func(task labs.Lab) (*submission.Submission, error) { return Submission(ctx, task, path) })
}
