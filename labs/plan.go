package labs

import (
	"fmt"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/grade"
	"kernellab/harness/probe"
)

// Plan returns what the probe drives on an architecture.
func (l Lab) Plan(arch string) probe.Plan {
	plan := probe.Plan{Args: slices.Clone(l.Args), Open: slices.Clone(l.Open)}
	for _, t := range l.Tasks {
		if when := t.When.For(arch); when != "" {
			plan.Tasks = append(plan.Tasks, probe.Task{Role: t.Role, When: when})
		}
	}
	args := l.Rules(arch).Arguments()
	for _, p := range l.Points {
		point := probe.Point{
			Args: args[p.Name],
			Name: p.Name, Place: p.Place, ReturnOf: p.ReturnOf, Role: p.Role, Entry: p.Entry && p.on(arch),
			Step: p.Step, Armed: p.Armed, Until: p.Until, When: p.When.For(arch), Aside: p.Aside,
			Optional: p.Optional, Absent: p.absent(arch), Stacks: p.Stacks, Source: l.source(p.Line),
		}
		if p.Hits != nil {
			point.Hits = &probe.Range{Least: p.Hits.Least, Most: p.Hits.Most}
		}
		for _, f := range p.Finds {
			point.Finds = append(point.Finds, probe.Find{Role: f.Name, Expr: f.Expr.For(arch)})
		}
		for _, r := range p.Reads {
			point.Reads = append(point.Reads, probe.Read{Name: r.Name, Expr: r.Expr.For(arch), Source: l.source(r.Line)})
		}
		for _, s := range p.Show {
			if e, err := expr.Parse(s.Expr.For(arch)); err == nil { // Validate reports it
				point.Needs = append(point.Needs, e.Members("arg")...)
			}
		}
		plan.Parents = plan.Parents || p.Lifetime != nil
		plan.Points = append(plan.Points, point)
	}
	return plan
}

// absent says why an architecture does not have the point, "" where it has.
func (p Point) absent(arch string) string {
	if p.Only != "" && p.Only != arch {
		return "it is the way of " + p.Only
	}
	return p.Absent[arch]
}

func (p Point) on(arch string) bool { return p.absent(arch) == "" }

// source is a place in the lab's file, for errors.
func (l Lab) source(line int) string { return fmt.Sprintf("%s:%d", l.file, line) }

// Rules returns what a trace of an architecture is judged by.
func (l Lab) Rules(arch string) grade.Rules {
	r := grade.Rules{
		Lab: l.Name, Title: l.Title, Summary: l.Summary, Arch: arch,
		Output: slices.Clone(l.Output), Patterns: slices.Clone(l.Patterns), Exit: l.Exit, Signal: l.Signal,
		Sequence: l.Sequence, Hits: l.Hits, ProgramVisibility: l.ProgramVisibility,
	}
	for _, p := range l.Points {
		point := grade.Point{
			Name: p.Name, Role: p.Role, Entry: p.Entry, Step: p.Step, Anytime: p.Anytime, Hits: p.Hits,
			After: p.After, Means: p.Means, Lifetime: p.Lifetime.For(arch), ReturnOf: p.ReturnOf,
			Armed: p.Armed, Until: p.Until, Optional: p.Optional, Absent: p.Absent[arch],
			Elsewhere: p.Only != "" && p.Only != arch, Visibility: p.Visibility,
		}
		for _, s := range p.Show {
			point.Show = append(point.Show, grade.Show{Name: s.Name, Expr: s.Expr.For(arch)})
		}
		for _, read := range p.Reads {
			point.Reads = append(point.Reads, read.Name)
		}
		for _, f := range p.Finds {
			point.Finds = append(point.Finds, f.Name)
		}
		r.Points = append(r.Points, point)
	}
	for _, q := range l.Questions {
		r.Questions = append(r.Questions, q.rule(arch))
	}
	for _, c := range l.Checks {
		r.Checks = append(r.Checks, grade.CheckRule{
			Name: c.Name, At: c.At, Observed: c.Observed.For(arch), Expected: c.Expected.For(arch), That: c.That.For(arch),
			Format: c.Format, Why: c.Why, Score: c.Score, Visibility: c.Visibility,
		})
	}
	return r
}
