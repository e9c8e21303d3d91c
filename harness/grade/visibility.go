package grade

import "slices"

// Visibility says when students see a check, a point or a question, in Gradescope's
// words. The zero value is what the lab says nothing about, and is seen.
type Visibility string

// The visibilities.
const (
	Visible        Visibility = "visible"
	Hidden         Visibility = "hidden"
	AfterDueDate   Visibility = "after_due_date"
	AfterPublished Visibility = "after_published"
)

// Visibilities returns all of them, the default first.
func Visibilities() []string {
	return []string{string(Visible), string(Hidden), string(AfterDueDate), string(AfterPublished)}
}

// Always reports whether students see it at all times.
func (v Visibility) Always() bool { return v.within(Visible) }

// within reports whether what has visibility v is seen with what has visibility at.
func (v Visibility) within(at Visibility) bool { return v == "" || v == Visible || v == at }

// stricter returns the one of two that lets less be seen.
func stricter(a, b Visibility) Visibility {
	order := []Visibility{"", Visible, AfterDueDate, AfterPublished, Hidden}
	if slices.Index(order, a) < slices.Index(order, b) {
		return b
	}
	return a
}

// visibility is that of a check or question that says own, and is at a point.
func (r Rules) visibility(name string, own Visibility, at string) Visibility {
	if slices.Contains(r.Hide, name) {
		return Hidden
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

// Unseen is a name that students are not told, and when they are.
type Unseen struct {
	Name       string     `json:"name"`
	Visibility Visibility `json:"visibility"`
}

// unseen are the points that are not always seen; symbol tells what a point is on
// this kernel, "" when that is not known.
func (r Rules) unseen(symbol func(point string) string) []Unseen {
	var out []Unseen
	for _, p := range r.Points {
		if p.Visibility.within("") {
			continue
		}
		out = append(out, Unseen{p.Name, p.Visibility})
		if s := symbol(p.Name); s != "" && s != p.Name {
			out = append(out, Unseen{s, p.Visibility})
		}
	}
	return out
}
