package labs

import (
	"math"
	"slices"
	"strings"

	"kernellab/internal/usage"
)

// WhatIf is a variation of a lab, which is run to be compared with the lab as it is.
type WhatIf struct {
	Name  string
	Means string   // what is different, a sentence
	Why   string   // why the runs differ, "" if the lab leaves that to the reader
	Args  []string // arguments of the program, after the lab's own
	CPUs  int      // processors of the machine; 0 is as many as without the variation
	Seed  int      // of the machine; -1 is that of the run without the variation
}

// maxWhatIfCPUs bounds the processors of a variation, as --cpus is bounded.
const maxWhatIfCPUs = 8

// whatIf reads the variations of a lab.
func (r *reader) whatIf(p pair, lab *Lab) {
	for _, v := range r.pairs(p.value, "what_if") {
		w := WhatIf{Name: v.key, Seed: -1}
		r.fields(v.value, "what_if "+v.key, []field{
			{"means", true, r.text(&w.Means)},
			{"why", false, r.text(&w.Why)},
			{"args", false, r.texts(&w.Args)},
			{"cpus", false, r.number(&w.CPUs, 1, maxWhatIfCPUs)},
			{"seed", false, r.number(&w.Seed, 0, math.MaxUint32)},
		})
		switch {
		case !nameOfLab.MatchString(w.Name):
			r.bad(v.line, "what_if %q: want small letters, digits and hyphens", w.Name)
		case len(w.Args) == 0 && w.CPUs == 0 && w.Seed < 0:
			r.bad(v.line, "what_if %s: nothing is different: give args, cpus or seed", w.Name)
		}
		lab.WhatIfs = append(lab.WhatIfs, w)
	}
}

// WhatIf returns a variation of the lab.
func (l Lab) WhatIf(name string) (WhatIf, error) {
	var known []string
	for _, w := range l.WhatIfs {
		if w.Name == name {
			return w, nil
		}
		known = append(known, w.Name)
	}
	if len(known) == 0 {
		return WhatIf{}, usage.Errorf("%s has no variations: its lab.yaml has no \"what_if\"", l.Name)
	}
	return WhatIf{}, usage.Unknown("variation of "+l.Name, name, known, "it has "+strings.Join(known, ", "))
}

// Varied returns the lab with a variation's arguments.
func (l Lab) Varied(w WhatIf) Lab {
	l.Args = slices.Concat(l.Args, w.Args)
	return l
}
