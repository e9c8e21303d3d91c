package calls

import (
	"io"
	"slices"
	"strconv"

	"kernellab/internal/atomicfile"
	"kernellab/internal/usage"
)

// Formats are the names of the formats of View.Write, text first.
func Formats() []string { return []string{"text", "json", "folded"} }

// View is what a person wants to see of a tree.
type View struct {
	Task   string // a pid or a role; "" is every task
	In     string // a function; "" is everything
	Format string // of Formats
	Flame  string // a file for a flame graph, "" for none
	Cut
}

// Of returns the part of a tree that the view shows. A task or a function that it does not
// have is a mistake of usage.
func (v View) Of(t *Tree) (*Tree, error) {
	if v.Task != "" {
		var known []string
		for _, task := range t.Tasks {
			known = append(known, task.words()...)
		}
		o := t.Only(func(task Task) bool { return slices.Contains(task.words(), v.Task) })
		if len(o.Tasks) == 0 {
			return nil, usage.Unknown("task", v.Task, known, "give a pid or a role of the lab")
		}
		t = o
	}
	if v.In == "" {
		return t, nil
	}
	o := t.Inside(v.In)
	if len(o.Tasks) == 0 {
		known := map[string]bool{}
		var names []string
		t.Walk(func(_ Task, _ []*Node, n *Node) {
			if !known[n.Function] {
				known[n.Function] = true
				names = append(names, n.Function)
			}
		})
		return nil, usage.Unknown("function", v.In, names, "it did not run between these stops, or the compiler inlined it")
	}
	return o, nil
}

// words are what a person may call the task.
func (t Task) words() []string {
	var words []string
	if t.PID != 0 {
		words = append(words, strconv.Itoa(t.PID))
	}
	if t.Role != "" {
		words = append(words, t.Role)
	}
	return words
}

// Write writes a tree in the view's format, and its flame graph.
func (v View) Write(w io.Writer, t *Tree) error {
	if v.Flame != "" {
		if err := atomicfile.Write(v.Flame, 0o644, func(w io.Writer) error { return Flame(w, t) }); err != nil {
			return err
		}
	}
	switch v.Format {
	case "json":
		return JSON(w, t)
	case "folded":
		return Folded(w, t)
	}
	return Text(w, t, v.Cut)
}
