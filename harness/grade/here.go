package grade

import (
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// here returns the rules as they are for one trace: without the points that its
// kernel or architecture does not have, and without the checks that need them.
// The notes say what is left out and why, so that nothing passes untested.
func (r Rules) here(t *trace.Trace) Rules {
	missing, reasons := r.missing(t.Header)
	if len(missing) == 0 {
		return r
	}
	out := r
	out.Points, out.Checks, out.notes = nil, nil, nil
	on := t.Header.Arch
	if t.Header.Kernel.Release != "" {
		on = t.Header.Kernel.Release + " (" + on + ")"
	}
	for _, p := range r.Points {
		if missing[p.Name] {
			if why := reasons[p.Name]; why != "" {
				out.notes = append(out.notes, verdict.Fact{Case: verdict.NoteAbsent, Point: p.Name, Name: on, Said: strings.TrimSuffix(why, ".")})
			}
			continue
		}
		p.After = slices.DeleteFunc(slices.Clone(p.After), func(name string) bool { return missing[name] })
		out.Points = append(out.Points, p)
	}
	roles := out.Roles()
	gone := slices.DeleteFunc(r.Roles(), func(role string) bool { return slices.Contains(roles, role) })
	left := verdict.Fact{Case: verdict.NoteUnchecked}
	for _, c := range r.Checks {
		needs := names(c.Observed, c.Expected, c.That)
		if missing[c.At] || slices.ContainsFunc(needs, func(n string) bool { return missing[n] || slices.Contains(gone, n) }) {
			left.Checks = append(left.Checks, c.Name)
			continue
		}
		out.Checks = append(out.Checks, c)
	}
	out.Questions = nil
	for _, q := range r.Questions {
		needs := append(names(q.Truth), q.At)
		for _, c := range q.Choices {
			if needs = append(needs, names(c.When)...); q.Type == TypeOrder {
				needs = append(needs, c.Name)
			}
		}
		if slices.ContainsFunc(needs, func(n string) bool { return missing[n] || slices.Contains(gone, n) }) {
			left.Questions = append(left.Questions, q.Name)
			continue
		}
		out.Questions = append(out.Questions, q)
	}
	if len(left.Checks)+len(left.Questions) > 0 {
		out.notes = append(out.notes, left)
	}
	return out
}

// missing returns the points that can not be observed, with the reasons of those
// that are not missing for another's sake.
func (r Rules) missing(h trace.Header) (missing map[string]bool, reasons map[string]string) {
	missing, reasons = map[string]bool{}, map[string]string{}
	for _, p := range r.Points {
		why := p.Absent
		if i := slices.IndexFunc(h.Points, func(q trace.Point) bool { return q.Point == p.Name }); why == "" && p.Optional && i >= 0 {
			why = h.Points[i].Missing
		}
		armed := len(p.Armed) == 0 || slices.ContainsFunc(p.Armed, func(name string) bool { return !missing[name] })
		if why == "" && armed && !missing[p.ReturnOf] && r.told(p.Role, missing) {
			continue
		}
		missing[p.Name] = true
		if why != "" && !p.Elsewhere {
			reasons[p.Name] = why
		}
	}
	return missing, reasons
}

// told reports whether a role can be known without the missing points: one that
// only they tell can not.
func (r Rules) told(role string, missing map[string]bool) bool {
	known := true
	for _, p := range r.Points {
		if finds(p, role) {
			if !missing[p.Name] {
				return true
			}
			known = false
		}
	}
	return known
}

// names returns the names that expressions use, and the points that they name.
func names(exprs ...string) []string {
	var out []string
	for _, src := range exprs {
		e, err := expr.Parse(src)
		if err != nil {
			continue // Validate reports it
		}
		for _, p := range e.Paths() {
			out = append(out, p[0])
		}
		out = append(out, e.Given()...)
	}
	return out
}
