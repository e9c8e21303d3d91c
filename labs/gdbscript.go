package labs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kernellab/gdbscripts"
	"kernellab/harness/arch"
)

// GDBScript returns the short file for a session of this lab driven by hand in gdb,
// as it is kept in gdbscripts. Its reader is gdbscripts.Helper.
func (l Lab) GDBScript(archName string) (string, error) {
	return gdbscripts.Script(l.Name, archName)
}

// GenerateGDBScript writes that file anew: the lab's tasks and points as the
// architecture has them, with their expressions as they are in lab.yaml.
func (l Lab) GenerateGDBScript(archName string) (string, error) {
	if _, err := arch.Lookup(archName); err != nil {
		return "", fmt.Errorf("gdb script of lab %s: %w", l.Name, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s on %s, by hand: %s\n", l.Name, archName, l.Title)
	fmt.Fprintf(&b, "# Generated from its lab.yaml by make generate; \"lab debug %s\" has gdb read lab.py, then this.\n", l.Name)
	fmt.Fprintf(&b, "python\nlab = Lab(%q)\n", l.Name)
	for _, t := range l.Tasks {
		fmt.Fprintf(&b, "lab.task(%q%s)\n", t.Role, keyword("when", t.When.For(archName)))
	}
	for _, p := range l.Points {
		if !p.on(archName) {
			fmt.Fprintf(&b, "# Left out: %s: %s\n", p.Name, p.absent(archName))
			continue
		}
		fmt.Fprintf(&b, "lab.point(%s)\n", p.gdb(archName))
	}
	b.WriteString("lab.ready()\nend\n")
	return b.String(), nil
}

// gdb returns the point as the arguments of the helper's Lab.point.
func (p Point) gdb(archName string) string {
	text := fmt.Sprintf("%q, %q", p.Name, p.Role)
	if p.Place != p.Name {
		text += keyword("place", p.Place)
	}
	if p.Entry {
		text += ", entry=True"
	}
	if !p.Step {
		text += ", step=False"
	}
	if len(p.Armed) > 0 {
		text += fmt.Sprintf(", armed=[%s]", strings.Join(quoted(p.Armed), ", "))
	}
	text += keyword("until", p.Until) + keyword("returns", p.ReturnOf) + keyword("when", p.When.For(archName))
	text += dictionary("finds", p.Finds, archName) + dictionary("reads", p.conditionReads(archName), archName)
	return text + ",\n    means=" + strconv.Quote(p.Means)
}

// conditionReads returns the reads that the point's condition looks at. gdb makes no
// others.
func (p Point) conditionReads(archName string) []Named {
	named := words(p.When.For(archName))
	return slices.DeleteFunc(slices.Clone(p.Reads), func(r Named) bool { return !slices.Contains(named, r.Name) })
}

// keyword returns an argument of a Python call, "" where it has no value.
func keyword(name, value string) string {
	if value == "" {
		return ""
	}
	return ", " + name + "=" + strconv.Quote(value)
}

func dictionary(name string, all []Named, archName string) string {
	if len(all) == 0 {
		return ""
	}
	var items []string
	for _, n := range all {
		items = append(items, fmt.Sprintf("%q: %q", n.Name, n.Expr.For(archName)))
	}
	return ", " + name + "={" + strings.Join(items, ", ") + "}"
}

func quoted(all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, strconv.Quote(s))
	}
	return out
}
