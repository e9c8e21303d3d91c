package labs

import (
	"fmt"
	"maps"
	"slices"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/probe"
)

// Plan returns what the probe drives on an architecture.
func (l Lab) Plan(arch string) probe.Plan {
	out := probe.Plan{Args: slices.Clone(l.Args), Open: slices.Clone(l.Open), Points: slices.Clone(l.points[arch]), Init: l.Init, Panic: l.Panic}
	for _, t := range l.tasks[arch] {
		if t.When != "" {
			out.Tasks = append(out.Tasks, t)
		}
	}
	for _, p := range l.Instead {
		out.Instead = append(out.Instead, plan.Point{Name: p.Place, Place: p.Place, Aside: p.Means})
	}
	args := l.Rules(arch).Arguments()
	for i, p := range out.Points {
		out.Points[i].Args = args[p.Name]
		out.Parents = out.Parents || p.Lifetime != ""
	}
	return out
}

// source is a place in the lab's file, for errors.
func (l Lab) source(line int) string { return fmt.Sprintf("%s:%d", l.file, line) }

// Rules returns what a trace of an architecture is judged by.
func (l Lab) Rules(arch string) grade.Rules {
	r := grade.Rules{
		Lab: l.Name, Title: l.Title, Summary: l.Summary, Arch: arch,
		Output: slices.Clone(l.Output), Before: maps.Clone(l.Before), Patterns: slices.Clone(l.Patterns), Exit: l.Exit, Signal: l.Signal, Panic: l.Panic,
		Sequence: l.Sequence, Hits: l.Hits, Marks: l.Marks, ProgramVisibility: l.ProgramVisibility,
		Points: l.points[arch],
	}
	for _, p := range l.Instead {
		r.Instead = append(r.Instead, p.Place)
	}
	for _, q := range l.Questions {
		r.Questions = append(r.Questions, q.rule(arch))
	}
	for _, c := range l.Checks {
		r.Checks = append(r.Checks, grade.CheckRule{
			Name: c.Name, At: c.At, Observed: c.Observed.For(arch), Expected: c.Expected.For(arch), That: c.That.For(arch),
			Format: c.Format, Why: c.Why, Asked: c.Asked, Score: c.Score, Visibility: c.Visibility,
		})
	}
	return r
}

// PointNames are the names of the lab's points, in the order of its file.
func (l Lab) PointNames(arch string) []string {
	var names []string
	for _, point := range l.Plan(arch).Points {
		names = append(names, point.Name)
	}
	return names
}
