package variant

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// File is the file of a submission that records whose task it is, and which.
const File = "student.yaml"

// Record is what File records.
type Record struct {
	Lab     string
	Student string
	Secret  string            // Secret.Mark of the secret that chose; "" for none
	Values  map[string]string // by the variant's name
}

// Text returns the content of the file.
func (r Record) Text() string {
	var b strings.Builder
	b.WriteString("# Whose task this is, and what is different in it. lab reads this file: leave it as it is.\n")
	fmt.Fprintf(&b, "lab: %s\nstudent: %s\n", r.Lab, strconv.Quote(r.Student))
	if r.Secret != "" {
		fmt.Fprintf(&b, "secret: %q\n", r.Secret)
	}
	b.WriteString("variant:\n")
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		fmt.Fprintf(&b, "  %s: %s\n", name, strconv.Quote(r.Values[name]))
	}
	return b.String()
}

// Words returns values for a person: "exit_status 7, flag CLONE_FS".
func Words(values map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, name+" "+values[name])
	}
	return strings.Join(all, ", ")
}
