package labs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/arch"
	"kernellab/harness/probe"
)

// roles reports what is wrong with the tasks: one that no point or condition
// tells, and names that are no task.
func (r *reader) roles(lab Lab) {
	var known []string
	for _, t := range lab.Tasks {
		known = append(known, t.Role)
	}
	check := func(line int, key, role string, more ...string) {
		all := append(slices.Clone(known), more...)
		if !slices.Contains(all, role) {
			r.bad(line, "%s: unknown task %q%s", key, role, didYouMean(role, all))
		}
	}
	found := map[string]bool{}
	for i, p := range lab.Points {
		path := fmt.Sprintf("points[%d]", i)
		check(r.lines[path+".task"], "task", p.Role, probe.Any)
		for _, f := range p.Finds {
			check(f.Line, "finds", f.Name)
			found[f.Name] = true
		}
		for _, role := range p.Stacks {
			check(r.lines[path+".stacks"], "stacks", role)
		}
		if p.Entry {
			found[p.Role] = true
		}
	}
	for _, t := range lab.Tasks {
		if !found[t.Role] && t.When == nil {
			r.bad(r.lines["tasks."+t.Role], "task %s: nothing tells which task it is: give it \"when\", or name it under the \"finds\" of a point", t.Role)
		}
	}
}

// probe reports what is wrong in the expressions that the probe evaluates.
func (r *reader) probe(path string, p Point, lab Lab) {
	var roles []string
	for _, t := range lab.Tasks {
		roles = append(roles, t.Role)
	}
	for _, a := range arch.Names() {
		plan := lab.Plan(a)
		r.expr(path+".when", "when", p.When.For(a), func(s string) error { return probe.CheckWhen(s, p.Name, plan) })
		for i, f := range p.Finds {
			r.expr(fmt.Sprintf("%s.finds[%d]", path, i), "finds: "+f.Name, f.Expr.For(a), func(s string) error { return probe.CheckRead(s, roles) })
		}
		for i, read := range p.Reads {
			r.expr(fmt.Sprintf("%s.reads[%d]", path, i), "reads: "+read.Name, read.Expr.For(a), func(s string) error { return probe.CheckRead(s, roles) })
		}
		for _, t := range lab.Tasks {
			if t.Role != p.Role {
				continue
			}
			r.expr("tasks."+t.Role+".when", "when", t.When.For(a), func(s string) error { return probe.CheckWhen(s, p.Name, plan) })
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
		s, _, _ := strings.Cut(err.Error(), "\n") // expr draws the place below
		err = errors.New(s)
		if key := path + s; !r.told[key] {
			r.told[key] = true
			r.bad(r.lines[path], "%s: %w", what, err)
		}
	}
}
