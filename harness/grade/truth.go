package grade

import (
	"fmt"

	"kernellab/harness/trace"
)

// Truth returns the right answer to a question as t shows it: an int or float64 for a
// number, an int for an address, a string for a symbol or choice, a []string for an order
// or set.
func Truth(t *trace.Trace, r Rules, question string) (any, error) {
	v, err := newView(t, r)
	if err != nil {
		return nil, err
	}
	q, ok := v.rules.Question(question)
	if !ok {
		return nil, fmt.Errorf("no question %q on this kernel", question)
	}
	return v.truth(q)
}

// Evidence returns the points that a check and a question look at.
func (r Rules) Evidence(check, question string) (ofCheck, ofQuestion []string) {
	points := func(at string, paths []string) (out []string) {
		if at != "" {
			out = append(out, at)
		}
		for _, p := range paths {
			for _, known := range r.Points {
				if len(p) > len(known.Name) && p[:len(known.Name)+1] == known.Name+"." {
					out = append(out, known.Name)
				}
			}
		}
		return out
	}
	for _, c := range r.Checks {
		if c.Name == check {
			ofCheck = points(c.At, r.paths(c.At, c.Observed, c.Expected, c.That))
		}
	}
	if q, ok := r.Question(question); ok {
		ofQuestion = points(q.At, r.pathsOf(q))
	}
	return ofCheck, ofQuestion
}
