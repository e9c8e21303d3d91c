package regress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// args compares the arguments of one function.
func (d *differ) args(point string, was, is []Arg) {
	if slices.Equal(was, is) {
		return
	}
	if len(was) == len(is) {
		i, n := 0, 0
		for j := range was {
			if was[j] != is[j] {
				i, n = j, n+1
			}
		}
		switch {
		case n > 1:
		case was[i].Name == is[i].Name:
			d.add(KindArgs, "argument %s of %s is now %s, was %s", is[i].Name, point, is[i].Type, was[i].Type)
			return
		case was[i].Type == is[i].Type:
			d.add(KindArgs, "argument %s of %s is now called %s", was[i].Name, point, is[i].Name)
			return
		}
	}
	d.add(KindArgs, "%s now takes %s, was %s", point, signature(is), signature(was))
}

func signature(args []Arg) string {
	if len(args) == 0 {
		return "no arguments"
	}
	var list []string
	for _, a := range args {
		space := " "
		if strings.HasSuffix(a.Type, "*") {
			space = ""
		}
		list = append(list, a.Type+space+a.Name)
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// maxMoves limits the moved members of a structure that are listed.
const maxMoves = 3

// fields compares the offsets, sizes and types of members. It groups changed offsets
// by structure, because most members move together.
func (d *differ) fields() {
	moved := map[string][]string{}
	for _, path := range keys(d.old.Fields, d.new.Fields) {
		o, inOld := d.old.Fields[path]
		n, inNew := d.new.Fields[path]
		switch {
		case !inOld:
			d.add(KindField, "%s is read now, but was not before", path)
		case !inNew:
			d.add(KindField, "%s is no longer read", path)
		case o != n:
			d.resized(path, o, n)
			if o.Offset != n.Offset {
				strct, member, _ := strings.Cut(path, ".")
				moved[strct] = append(moved[strct], fmt.Sprintf("%s from %d to %d", member, o.Offset, n.Offset))
			}
		}
	}
	for _, strct := range slices.Sorted(maps.Keys(moved)) {
		list := moved[strct]
		switch n := len(list); {
		case n == 1:
			d.add(KindField, "%s.%s", strct, strings.Replace(list[0], " from ", " moved from offset ", 1))
		case n <= maxMoves:
			d.add(KindField, "in %s, members moved: %s", strct, strings.Join(list, ", "))
		default:
			d.add(KindField, "in %s, %d members moved: %s, …", strct, n, strings.Join(list[:maxMoves], ", "))
		}
	}
}

// resized adds the change of a member's size or type.
func (d *differ) resized(path string, o, n trace.Field) {
	switch {
	case n.Size < o.Size:
		d.add(KindField, "%s shrank from %d to %s", path, o.Size, octets(n.Size))
	case n.Size > o.Size:
		d.add(KindField, "%s grew from %d to %s", path, o.Size, octets(n.Size))
	case n.Type != o.Type:
		d.add(KindField, "%s is now %s, was %s", path, n.Type, o.Type)
	}
}

func octets(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// stack compares the child's stack at its first instruction.
func (d *differ) stack() {
	o, n := d.old.Stack, d.new.Stack
	switch {
	case o == nil && n == nil:
		return
	case o == nil:
		d.add(KindStack, "the run stops at the child's first instruction, but did not before")
		return
	case n == nil:
		d.add(KindStack, "the run no longer stops at the child's first instruction")
		return
	}
	var parts []string
	for _, name := range keys(o.Sizes, n.Sizes) {
		if o.Sizes[name] != n.Sizes[name] {
			what := "pt_regs has"
			if name != "pt_regs" {
				what = "the structure at its top has"
			}
			parts = append(parts, fmt.Sprintf("%s %s, was %d", what, octets(n.Sizes[name]), o.Sizes[name]))
		}
	}
	if o.SwitchFrame != n.SwitchFrame {
		parts = append(parts, fmt.Sprintf("the switch pops %s, was %d", octets(n.SwitchFrame), o.SwitchFrame))
	}
	for _, name := range keys(o.FromSP, n.FromSP) {
		was, inOld := o.FromSP[name]
		is, inNew := n.FromSP[name]
		switch {
		case !inOld || !inNew || was == is:
		case was < 0 != (is < 0):
			parts = append(parts, fmt.Sprintf("%s is %s the stack pointer, was %s it", name, distance(is), distance(was)))
		default:
			parts = append(parts, fmt.Sprintf("%s is %s the stack pointer, was %d", name, distance(is), max(was, -was)))
		}
	}
	if len(parts) == 0 {
		d.sameStack = true
		return
	}
	d.add(KindStack, "the child's stack geometry changed: %s", strings.Join(parts, ", "))
}

// distance describes the distance of an address from the stack pointer.
func distance(d int) string {
	switch {
	case d == 0:
		return "at"
	case d < 0:
		return octets(-d) + " below"
	}
	return octets(d) + " above"
}

// keys returns the keys of both maps, sorted.
func keys[V any](a, b map[string]V) []string {
	all := slices.Collect(maps.Keys(a))
	all = slices.AppendSeq(all, maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
