package grade

import (
	"slices"
	"strings"
)

// partly is what an answer that is not right scores: of an order the pairs in the right
// order minus those in the wrong one, of all pairs; of a set the right choices minus the
// wrong ones, of the right ones. It is not below 0, and rounded down.
func (q Question) partly(given, truth any) int {
	a, aok := given.([]string)
	b, bok := truth.([]string)
	if !aok || !bok {
		return 0
	}
	good, bad, of := 0, 0, 0
	switch q.Type {
	case TypeOrder:
		for i := range b {
			for j := i + 1; j < len(b); j++ {
				of++
				switch x, y := place(a, b[i]), place(a, b[j]); {
				case x < 0 || y < 0:
				case x < y:
					good++
				default:
					bad++
				}
			}
		}
	case TypeSet:
		of = len(b)
		for _, choice := range a {
			if place(b, choice) >= 0 {
				good++
			} else {
				bad++
			}
		}
	}
	if of == 0 {
		return 0
	}
	return q.score() * max(0, good-bad) / of
}

// place is the index of what a person chose in a list, -1 for none.
func place(list []string, choice string) int {
	return slices.IndexFunc(list, func(s string) bool { return sameWord(s, choice) })
}

// behind returns what the lab's author says may be behind a wrong answer.
func (v *view) behind(q Question, given, truth any) []string {
	var out []string
	for _, m := range q.Wrong {
		if v.made(q, m.Answer, given, truth) {
			out = append(out, m.Says)
		}
	}
	return out
}

// made reports whether an answer makes the mistake that a misconception is about.
func (v *view) made(q Question, mistake string, given, truth any) bool {
	list, _ := given.([]string)
	right, _ := truth.([]string)
	switch q.Type {
	case TypeChoice:
		said, _ := given.(string)
		return sameWord(said, mistake)
	case TypeSet:
		return (place(list, mistake) < 0) != (place(right, mistake) < 0)
	case TypeOrder:
		first, second, _ := strings.Cut(mistake, before)
		earlier := func(list []string) bool {
			a, b := place(list, first), place(list, second)
			return a >= 0 && a < b
		}
		return earlier(list) && !earlier(right)
	case TypeSymbol:
		if isName(mistake) {
			said, _ := given.(string)
			return v.right(q, given, mistake) || v.isPoint(mistake, bareSymbol(said))
		}
	}
	q.Tolerance = Tolerance{} // a value near that of a mistake is another mistake
	value, err := v.valueOf(q, mistake)
	return err == nil && v.right(q, given, value)
}

// valueOf evaluates an expression where the truth of q is.
func (v *view) valueOf(q Question, src string) (any, error) {
	r := v.graded()
	if q.At == "" {
		return v.eval(src, nil, r)
	}
	at := r.first(q.At)
	if at == nil {
		return nil, notHit(q.At)
	}
	return v.eval(src, at, r)
}
