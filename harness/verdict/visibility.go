package verdict

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
func (v Visibility) Always() bool { return v.Within(Visible) }

// Within reports whether what has visibility v is seen with what has visibility at.
func (v Visibility) Within(at Visibility) bool { return v == "" || v == Visible || v == at }

// Stricter returns the one of two that lets less be seen.
func Stricter(a, b Visibility) Visibility {
	order := []Visibility{"", Visible, AfterDueDate, AfterPublished, Hidden}
	if slices.Index(order, a) < slices.Index(order, b) {
		return b
	}
	return a
}

// Unseen is a name that students are not told, and when they are.
type Unseen struct {
	Name       string     `json:"name"`
	Visibility Visibility `json:"visibility"`
}
