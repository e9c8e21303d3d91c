package calls

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// JSON writes a tree as calls.schema.json describes.
func JSON(w io.Writer, t *Tree) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(t)
}

// Folded writes a tree as folded stacks, the input of flame graphs' scripts and of
// speedscope: a line for each place in the tree that ran instructions of its own, with the
// task and the functions from the outermost to the innermost, and their number.
func Folded(w io.Writer, t *Tree) error {
	b := bufio.NewWriter(w)
	clean := strings.NewReplacer(";", ",", "\n", " ").Replace
	t.Walk(func(task Task, above []*Node, n *Node) {
		if n.Own == 0 {
			return
		}
		fmt.Fprint(b, clean(task.Name()))
		for _, a := range above {
			fmt.Fprint(b, ";", clean(a.Function))
		}
		fmt.Fprintf(b, ";%s %d\n", clean(n.Function), n.Own)
	})
	return b.Flush()
}
