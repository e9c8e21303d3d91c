package grade

import "kernellab/harness/trace"

// Truths returns the truths that a run shows, for a person, by the names of the
// questions. Questions that the kernel does not pose, and truths that the run does not
// show, are left out.
func Truths(t *trace.Trace, r Rules) map[string]string {
	v, err := newView(t, r)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, q := range v.rules.Questions {
		if val, err := v.truth(q); err == nil {
			out[q.Name] = q.Show(val)
		}
	}
	return out
}
