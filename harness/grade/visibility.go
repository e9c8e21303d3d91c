package grade

import (
	"slices"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// visibility is that of a check or question that says own, and is at a point.
func (r Rules) visibility(name string, own verdict.Visibility, at string) verdict.Visibility {
	if slices.Contains(r.Hide, name) {
		return verdict.Hidden
	}
	if own != "" {
		return own
	}
	p, _ := r.point(at)
	return p.Visibility
}

// CheckNames returns the names of all checks and questions.
func (r Rules) CheckNames() []string {
	r.Answers, r.AnswersOnly = Answers{}, false
	var names []string
	for _, c := range newResult(r).Checks {
		names = append(names, c.Name)
	}
	return names
}

// Unseen returns the names that students do not always see of a run with that header.
func (r Rules) Unseen(h trace.Header) []verdict.Unseen {
	return r.unseen((&view{trace: &trace.Trace{Header: h}}).symbolOf)
}

// unseen are the points that are not always seen; symbol tells what a point is on
// this kernel, "" when that is not known.
func (r Rules) unseen(symbol func(point string) string) []verdict.Unseen {
	var out []verdict.Unseen
	for _, p := range r.Points {
		if p.Visibility.Within("") {
			continue
		}
		out = append(out, verdict.Unseen{Name: p.Name, Visibility: p.Visibility})
		if s := symbol(p.Name); s != "" && s != p.Name {
			out = append(out, verdict.Unseen{Name: s, Visibility: p.Visibility})
		}
	}
	return out
}
