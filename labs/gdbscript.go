package labs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kernellab/gdbscripts"
	"kernellab/harness/arch"
	"kernellab/harness/plan"
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
	init := ""
	if l.Init {
		init = ", init=True"
	}
	fmt.Fprintf(&b, "python\nlab = Lab(%q%s)\n", l.Name, init)
	for _, t := range l.tasks[archName] {
		fmt.Fprintf(&b, "lab.task(%q%s)\n", t.Role, keyword("when", t.When))
	}
	for _, p := range l.points[archName] {
		if p.Absent != "" {
			fmt.Fprintf(&b, "# Left out: %s: %s\n", p.Name, p.Absent)
			continue
		}
		fmt.Fprintf(&b, "lab.point(%s)\n", gdbPoint(p, l.points[archName]))
	}
	b.WriteString("lab.ready()\nend\n")
	return b.String(), nil
}

// gdbPoint returns a point, one of all, as the arguments of the helper's Lab.point.
func gdbPoint(p plan.Point, all []plan.Point) string {
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
	text += keyword("within", p.Within)
	if most := p.Times().Most; p.Within != "" && most != 1 {
		text += fmt.Sprintf(", most=%d", most)
	}
	text += keyword("until", p.Until) + keyword("returns", p.ReturnOf) + keyword("when", p.When)
	text += dictionary("finds", p.Finds) + dictionary("reads", conditionReads(p, all))
	return text + ",\n    means=" + strconv.Quote(p.Means)
}

// conditionReads returns the reads of a point, one of all, that conditions look at: its
// own, and those that name the point. gdb makes no others.
func conditionReads(p plan.Point, all []plan.Point) []plan.Named {
	named := words(p.When)
	for _, q := range all {
		if w := words(q.When); slices.Contains(w, p.Name) {
			named = append(named, w...)
		}
	}
	return slices.DeleteFunc(slices.Clone(p.Reads), func(r plan.Named) bool { return !slices.Contains(named, r.Name) })
}

// keyword returns an argument of a Python call, "" where it has no value.
func keyword(name, value string) string {
	if value == "" {
		return ""
	}
	return ", " + name + "=" + strconv.Quote(value)
}

func dictionary(name string, all []plan.Named) string {
	if len(all) == 0 {
		return ""
	}
	var items []string
	for _, n := range all {
		items = append(items, fmt.Sprintf("%q: %q", n.Name, n.Expr))
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
