package labs

import (
	"fmt"
	"slices"

	"kernellab/harness/arch"
	"kernellab/harness/plan"
	"kernellab/harness/probe"
	"kernellab/internal/nearest"
)

// roles reports what is wrong with the tasks: one that no point or condition
// tells, and names that are no task.
func (r *reader) roles(lab Lab) {
	first := arch.Names()[0] // the roles are the same everywhere
	var known []string
	for _, t := range lab.tasks[first] {
		known = append(known, t.Role)
	}
	check := func(line int, key, role string, more ...string) {
		all := append(slices.Clone(known), more...)
		if !slices.Contains(all, role) {
			r.bad(line, "%s: unknown task %q%s", key, role, nearest.Hint(role, all))
		}
	}
	found := map[string]bool{}
	for i, p := range lab.points[first] {
		path := fmt.Sprintf("points[%d]", i)
		check(r.lines[path+".task"], "task", p.Role, plan.Any)
		for j, f := range p.Finds {
			check(r.lines[fmt.Sprintf("%s.finds[%d]", path, j)], "finds", f.Name)
			found[f.Name] = true
		}
		for _, role := range p.Stacks {
			check(r.lines[path+".stacks"], "stacks", role)
		}
		if lab.enters(i) {
			found[p.Role] = true
		}
	}
	for _, t := range lab.tasks[first] {
		if !found[t.Role] && t.When == "" {
			r.bad(r.lines["tasks."+t.Role], "task %s: nothing tells which task it is: give it \"when\", or name it under the \"finds\" of a point", t.Role)
		}
	}
}

// enters reports whether a point is the entry on some architecture.
func (l Lab) enters(i int) bool {
	return slices.ContainsFunc(arch.Names(), func(a string) bool { return l.points[a][i].Entry })
}

// probe reports what is wrong in the expressions of a point that the probe evaluates.
func (r *reader) probe(path string, i int, lab Lab, plans map[string]probe.Plan) {
	for _, a := range arch.Names() {
		all := plans[a]
		p := all.Points[i]
		var roles []string
		for _, t := range lab.tasks[a] {
			roles = append(roles, t.Role)
		}
		when := func(s string) error { return probe.CheckWhen(s, p.Name, all) }
		read := func(s string) error { return probe.CheckRead(s, roles, all) }
		r.expr(path+".when", "when", p.When, when)
		for j, f := range p.Finds {
			r.expr(fmt.Sprintf("%s.finds[%d]", path, j), "finds: "+f.Name, f.Expr, read)
		}
		for j, n := range p.Reads {
			r.expr(fmt.Sprintf("%s.reads[%d]", path, j), "reads: "+n.Name, n.Expr, read)
		}
		for _, t := range all.Tasks {
			if t.Role == p.Role {
				r.expr("tasks."+t.Role+".when", "when", t.When, when)
			}
		}
	}
}

// expr reports what check finds wrong in an expression, once for all
// architectures.
func (r *reader) expr(path, what, src string, check func(string) error) {
	if src == "" {
		return
	}
	if err := check(src); err != nil {
		if key := path + err.Error(); !r.told[key] {
			r.told[key] = true
			r.bad(r.lines[path], "%s: %w", what, err)
		}
	}
}
