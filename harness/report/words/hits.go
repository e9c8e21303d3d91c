package words

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// How often points are hit, and are to be hit.

// paths writes the points of each role, of one call or of several.
func paths(f verdict.Fact) string {
	var calls []string
	for _, c := range f.Calls {
		var roles []string
		for _, p := range c.Paths {
			points := slices.Clone(p.Points)
			if p.More {
				points = append(points, "…")
			}
			if len(points) == 0 {
				points = []string{"nothing"}
			}
			roles = append(roles, p.Role+": "+strings.Join(points, " → "))
		}
		calls = append(calls, strings.Join(roles, "; "))
	}
	switch {
	case len(calls) == 1 && f.Times > 1:
		return fmt.Sprintf("in each of %d calls, %s", f.Times, calls[0])
	case len(calls) == 1:
		return calls[0]
	}
	for i, c := range f.Calls {
		calls[i] = fmt.Sprintf("call %d, %s", c.Number, calls[i])
	}
	if f.Times > len(calls) {
		calls = append(calls, "…")
	}
	return strings.Join(calls, "; ")
}

// ranges writes how often points are to be hit.
func ranges(f verdict.Fact) string {
	var other []string
	for _, c := range f.Counts {
		switch h := *c.Range; {
		case h == trace.Range{}:
			other = append(other, name(c.Point)+" never")
		case h.Least == h.Most:
			other = append(other, fmt.Sprintf("%s %s", name(c.Point), times(h.Most)))
		default:
			other = append(other, fmt.Sprintf("%s %s", name(c.Point), hitRange(c.Range)))
		}
	}
	switch len(other) {
	case 0:
		return fmt.Sprintf("each of %d points once", f.Times)
	case f.Times:
		return strings.Join(other, ", ")
	}
	return strings.Join(other, ", ") + ", the others once"
}

// counts writes how often points were hit.
func counts(f verdict.Fact) string {
	first := f.Counts[0].Times
	same := !slices.ContainsFunc(f.Counts, func(c verdict.PointCount) bool { return c.Times != first })
	if same && len(f.Counts) == f.Times && f.Times > 1 {
		return fmt.Sprintf("each of %d points %s", f.Times, times(first))
	}
	var out []string
	for _, c := range f.Counts {
		out = append(out, fmt.Sprintf("%s %s", name(c.Point), times(c.Times)))
	}
	return strings.Join(out, ", ")
}

// hitRange writes a range: "1 hit", "at least 2 hits".
func hitRange(r *trace.Range) string {
	switch {
	case r == nil:
		return verdict.Unnamed
	case r.Most < 0:
		return "at least " + hits(r.Least)
	case r.Least == r.Most:
		return hits(r.Least)
	case r.Least == 0:
		return "at most " + hits(r.Most)
	}
	return fmt.Sprintf("%d to %d hits", r.Least, r.Most)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func hits(n int) string { return plural(n, "hit", "hits") }
