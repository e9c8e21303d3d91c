package marking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"kernellab/harness/class"
	"kernellab/harness/gradebook"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/variant"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Options say what is graded and how.
type Options struct {
	Lab         labs.Lab
	Submissions string // folder of the submissions
	Out         string // folder for the results
	Shard       string // the part of the class, I/N; "" is all
	Kernels     prepare.Kernels
	Machine     prepare.Machine
	Secret      variant.Secret
	IDs         string // file as for ReadIDs, "" for none
	Roster      string // CSV that Canvas or Moodle exported, "" for none
	Verify      int    // per cent of the runs that are executed twice
	AtOnce      int    // submissions at a time, 0 is as many as there is room for
	Regrade     bool   // also what was graded before
	Format      string // of what is printed; HTML is also written to Out
}

// Grading is a class whose submissions, tasks and people are known.
type Grading struct {
	Options
	shard    class.Shard
	students []class.Student // of all shards
	tasks    Tasks
	roster   *gradebook.Roster
}

// Read reads what there is of a class. It starts no guest. It says what in the folder of
// the submissions is none.
func (o Options) Read(say func(format string, args ...any)) (g Grading, err error) {
	g.Options = o
	switch {
	case !o.Lab.Takes():
		return g, usage.Errorf("%s takes no submissions: its lab.yaml does not say what to hand in", o.Lab.Name)
	case o.Submissions == "":
		return g, usage.Errorf("lab grade needs the folder of the submissions: --submissions DIR")
	case o.Out == "":
		return g, usage.Errorf("lab grade needs a folder for the results: --out DIR")
	}
	if err := class.CheckOut(o.Out, o.Submissions); err != nil {
		return g, usage.Wrap(err)
	}
	if o.Shard != "" {
		if g.shard, err = class.ParseShard(o.Shard); err != nil {
			return g, usage.Wrap(err)
		}
	}
	if g.students, err = Students(o.Submissions, say); err != nil {
		return g, err
	}
	if g.tasks, err = TasksOf(g.students, o.Secret, o.IDs); err != nil {
		return g, err
	}
	g.roster, err = Roster(o.Roster)
	return g, err
}

// Roster reads a class's people, nil for "".
func Roster(path string) (*gradebook.Roster, error) {
	if path == "" {
		return nil, nil
	}
	r, err := gradebook.ReadRoster(path)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	return r, nil
}

// PartError says that the results of some shards of a class are missing.
type PartError struct{ Shards []string }

func (e *PartError) Error() string {
	return fmt.Sprintf("there are no results of shard %s: its students are not among these", strings.Join(e.Shards, ", "))
}

// Merge puts the results in several folders together, as class.Merge does, and gives them
// the class's people, from a file as for Options.Roster. format is as in Options. The
// results are good with a *PartError too.
func Merge(ctx context.Context, dirs []string, out, roster, format string) (report.Class, error) {
	people, err := Roster(roster)
	if err != nil {
		return report.Class{}, err
	}
	c, missing, err := class.Merge(ctx, dirs, out)
	if errors.Is(err, fs.ErrNotExist) {
		err = usage.Wrap(err)
	}
	if err != nil {
		return c, err
	}
	c.Roster, c.Part = people, len(missing) > 0
	if out != "" {
		if c.Page, err = pages(ctx, out, format); err != nil {
			return c, err
		}
	}
	if c.Part {
		return c, &PartError{missing}
	}
	return c, nil
}

// Grade grades the class, or its shard, and shows its progress on w.
func (g Grading) Grade(ctx context.Context, h prepare.Host, w io.Writer) (report.Class, error) {
	targets, err := h.Open(ctx, g.Kernels)
	if err != nil {
		return report.Class{}, err
	}
	m, err := New(ctx, h, g.Lab, targets, g.Machine, g.Verify)
	if err != nil {
		return report.Class{}, err
	}
	m.Tasks = g.tasks
	if err := m.CheckSecret(ctx, g.students); err != nil {
		return report.Class{}, err
	}
	students := g.shard.Select(g.students)
	if len(students) > 0 { // a shard may have none
		if err := m.Check(ctx); err != nil {
			return report.Class{}, err
		}
	}
	h.Progress.Done()
	graded, err := m.Class(ctx, w, class.Run{Out: g.Out, Students: students, Shard: g.shard, AtOnce: g.AtOnce, Regrade: g.Regrade})
	graded.Roster, graded.Part = g.roster, g.shard.Of > 1
	if err == nil {
		graded.Page, err = pages(ctx, g.Out, g.Format)
	}
	return graded, err
}

// pages writes the pages of the class if the format is HTML, and returns the first one.
func pages(ctx context.Context, dir, format string) (string, error) {
	if format != report.FormatHTML {
		return "", nil
	}
	return class.WritePages(ctx, dir)
}
