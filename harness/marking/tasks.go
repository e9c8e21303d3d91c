package marking

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/class"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/submission"
	"kernellab/harness/variant"
	"kernellab/harness/verdict"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Tasks says which task each student of a class has.
type Tasks struct {
	Secret variant.Secret
	Class  []string          // the names of all submissions, with those of other shards
	IDs    map[string]string // of the students, by the submission's name, where they differ
}

// TasksOf returns the tasks of a class's students. ids is a file as for ReadIDs, "" for
// none.
func TasksOf(students []class.Student, secret variant.Secret, ids string) (Tasks, error) {
	t := Tasks{Secret: secret}
	for _, s := range students {
		t.Class = append(t.Class, s.Name)
	}
	if ids == "" {
		return t, nil
	}
	var err error
	if t.IDs, err = ReadIDs(ids); err != nil {
		return t, usage.Wrap(err)
	}
	return t, nil
}

func (t Tasks) id(name string) string {
	if id, ok := t.IDs[name]; ok {
		return id
	}
	return name
}

// asked says whose task a submission is graded by. Without a secret, one that records no
// task was begun without one.
func (t Tasks) asked(name string) prepare.Asked {
	return prepare.Asked{Student: t.id(name), Secret: t.Secret, Recorded: t.Secret.None()}
}

// ReadIDs reads a file of lines "NAME,ID", the name of a submission and the student's ID.
func ReadIDs(path string) (map[string]string, error) {
	const most = 4 << 20
	data, err := regular.ReadFile(path, most)
	if err != nil {
		return nil, fmt.Errorf("read the students' IDs: %w", err)
	}
	ids := map[string]string{}
	r := csv.NewReader(strings.NewReader(string(data)))
	r.FieldsPerRecord, r.TrimLeadingSpace = 2, true
	for {
		row, err := r.Read()
		if err == io.EOF {
			return ids, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the students' IDs: %s: %w: want lines NAME,ID", path, err)
		}
		line, _ := r.FieldPos(0)
		if err := variant.CheckID(row[1]); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		if _, twice := ids[row[0]]; twice {
			return nil, fmt.Errorf("%s:%d: %q is there twice", path, line, row[0])
		}
		ids[row[0]] = row[1]
	}
}

// SecretError says that most submissions record tasks that the class's secret did not
// choose: grading them by other tasks would be the instructor's mistake.
type SecretError struct {
	Others, Records int
	Given           bool // there is a secret, and it is another one
}

func (e *SecretError) Error() string {
	chose := "a secret chose, and none was given"
	if e.Given {
		chose = "the secret did not choose"
	}
	return fmt.Sprintf("nobody was graded: %d of the %d submissions with a %s record tasks that %s; give the secret that lab init had, with --secret FILE or LAB_SECRET, or none if it had none",
		e.Others, e.Records, variant.File, chose)
}

// CheckSecret returns a *SecretError when most records name another secret.
func (m *Marker) CheckSecret(ctx context.Context, students []class.Student) error {
	if len(m.lab.Variants) == 0 {
		return nil
	}
	others, records := 0, 0
	for _, s := range students {
		if s.Unclear != "" || s.Link {
			continue
		}
		read, err := submission.Read(ctx, s.Path, m.lab.Handed())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || read.Recorded == nil || read.Recorded.Lab != m.lab.Name {
			continue // grading says what is wrong
		}
		records++
		if read.Recorded.Secret != m.Tasks.Secret.Mark() {
			others++
		}
	}
	if 2*others > records {
		return usage.Wrap(&SecretError{Others: others, Records: records, Given: !m.Tasks.Secret.None()})
	}
	return nil
}

// classTask is a task with the IDs of the students who have it; "" is nobody.
type classTask struct {
	lab      labs.Lab
	students []string
}

// classTasks returns the tasks of the class, and the lab's own.
func (m *Marker) classTasks() ([]classTask, error) {
	tasks, at := []classTask{{m.lab, []string{""}}}, map[string]int{"": 0}
	for _, name := range m.Tasks.Class {
		id := m.Tasks.id(name)
		task, err := m.lab.With(m.lab.Student(m.Tasks.Secret, id))
		if err != nil {
			return nil, err
		}
		words := variant.Words(task.Chosen)
		if _, ok := at[words]; !ok {
			at[words] = len(tasks)
			tasks = append(tasks, classTask{lab: task})
		}
		tasks[at[words]].students = append(tasks[at[words]].students, id)
	}
	return tasks, nil
}

// mostNamed limits the students that a finding names.
const mostNamed = 8

// fits returns findings, for the instructor, about whose tasks a submission fits in what
// is wrong by its own. The checks that fit the same students are one finding.
func (m *Marker) fits(t *target, own labs.Lab) func(grade.Submitted, verdict.Result) []verdict.Finding {
	return func(s grade.Submitted, res verdict.Result) []verdict.Finding {
		if res.Verdict != verdict.Fail {
			return nil
		}
		tasks, err := m.tasks()
		if err != nil {
			return nil // no value of the lab's own list
		}
		students, checks := map[string][]string{}, []string(nil)
		for _, other := range tasks {
			if maps.Equal(other.lab.Chosen, own.Chosen) {
				continue
			}
			for _, check := range grade.Fits(s, res, other.lab.Rules(t.Arch.Name)) {
				if students[check] == nil {
					checks = append(checks, check)
				}
				students[check] = append(students[check], other.students...)
			}
		}
		return findings(checks, students)
	}
}

// findings says which checks fit which students.
func findings(checks []string, students map[string][]string) []verdict.Finding {
	var out []verdict.Finding
	at := map[string]int{}
	for _, check := range checks {
		all := slices.Sorted(slices.Values(students[check]))
		key := strings.Join(all, "\n")
		if i, ok := at[key]; ok {
			out[i].Checks = append(out[i].Checks, check)
			continue
		}
		at[key] = len(out)
		named := all[:min(len(all), mostNamed)]
		out = append(out, verdict.Finding{
			Kind: verdict.FindFits, Visibility: verdict.Hidden,
			Fact: verdict.Fact{Case: verdict.CaseFits, Checks: []string{check}, Students: named, Times: len(all) - len(named)},
		})
	}
	return out
}
