package marking

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"kernellab/harness"
	"kernellab/harness/class"
	"kernellab/harness/report"
	"kernellab/internal/progress"
	"kernellab/internal/usage"
)

// Students returns the submissions in a folder. It says what else is there.
func Students(dir string, say func(format string, args ...any)) ([]class.Student, error) {
	students, skipped, err := class.List(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, class.ErrNoSubmissions) {
		return nil, usage.Wrap(err)
	}
	const most = 5
	for i, name := range skipped {
		if i == most {
			say("… and %d more", len(skipped)-most)
			break
		}
		say("left out: %s", progress.Visible(name))
	}
	return students, err
}

// Class grades a class and shows its progress on w. AtOnce 0 is as many as there is
// room for.
func (m *Marker) Class(ctx context.Context, w io.Writer, r class.Run) (report.Class, error) {
	b := progress.NewBoard(w, len(r.Students))
	defer b.Close()
	b.Terse = true
	m.Say = b.Say
	var kept atomic.Int64
	r.Lab, r.AtOnce = m.lab.Name, harness.AtOnce(r.AtOnce)
	r.Identify, r.Grade, r.Unable, r.Feedback = m.identify, m.grade, m.unable, m.feedback
	r.Stage = func(i int, what string) { b.Stage(i, r.Students[i].Name, what) }
	r.Done = func(i int, g report.Graded) {
		if g.Kept {
			kept.Add(1)
			b.Pass()
			return
		}
		b.End(i, g.Student, g.Ending())
	}
	b.Say("%s: %d submissions on %s", r.Lab, len(r.Students), m.kernels())
	out, err := r.Class(ctx)
	if n := kept.Load(); n > 0 {
		b.Say("%d of them were graded before and are kept", n)
	}
	return out, err
}

// kernels names the kernels to a person.
func (m *Marker) kernels() string {
	var names []string
	for _, t := range m.targets {
		names = append(names, t.Name())
	}
	return strings.Join(names, ", ")
}
