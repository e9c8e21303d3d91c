package labs

import (
	"fmt"
	"io"
	"strings"
)

// Listed is a lab in a list.
type Listed struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Summary  string   `json:"summary"`
	Minutes  int      `json:"minutes,omitempty"`
	BuildsOn []string `json:"builds_on,omitempty"`
}

// List lists the labs of the course, in the order in which to do them.
func List() ([]Listed, error) {
	all, err := All()
	list := []Listed{}
	for _, l := range all {
		list = append(list, Listed{l.Name, l.Title, l.Summary, l.Minutes, l.BuildsOn})
	}
	return list, err
}

// WriteList writes a list as text.
func WriteList(w io.Writer, list []Listed) error {
	var b strings.Builder
	b.WriteString("The labs, in the order in which to do them:\n\n")
	for _, l := range list {
		after := ""
		if len(l.BuildsOn) > 0 {
			after = "after " + strings.Join(l.BuildsOn, ", ")
		}
		fmt.Fprintf(&b, "%-14s %3d min  %s\n", l.Name, l.Minutes, after)
		fmt.Fprintf(&b, "  %s. %s\n", l.Title, l.Summary)
	}
	b.WriteString("\nlab show LAB prints a lab's handout, lab predict LAB asks its questions, lab run LAB runs it.\n")
	_, err := io.WriteString(w, b.String())
	return err
}
