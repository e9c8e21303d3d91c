package kernel

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/kernel/debuginfo"
)

// inlined finds the place where a candidate's function was inlined. It returns a zero
// Resolved if there is no such place, or if the place does not meet needs; why gives
// the reason then.
func (im *Image) inlined(p pointSpec, c candidate, needs Needs) (_ Resolved, why string, err error) {
	if im.debug == nil || c.Asm || c.Regs || c.StandIn {
		return Resolved{}, "", nil
	}
	found, err := im.sites(c.Symbol)
	if err != nil {
		return Resolved{}, fmt.Sprintf("reading where %s is from the debug information failed: %v", c.Symbol, err), nil
	}
	params := found.Params
	sites := slices.DeleteFunc(found.At, func(s debuginfo.Site) bool { return !s.Inlined })
	switch {
	case len(sites) == 0:
		return Resolved{}, "", nil
	case len(sites) > 1:
		return Resolved{}, fmt.Sprintf("%s is inlined at %d places (%s), no one of which is the point", c.Symbol, len(sites), im.places(sites)), nil
	}
	s := sites[0]
	if needs.Called {
		return Resolved{}, fmt.Sprintf("by the debug information %s itself is inlined at %s, from where it does not return", c.Symbol, im.places(sites)), nil
	}
	for _, need := range needs.Args {
		if !slices.ContainsFunc(params, func(p debuginfo.Param) bool { return p.Name == need }) {
			return Resolved{}, fmt.Sprintf("by the debug information %s itself is inlined at %s, but has no argument %s, which is read here", c.Symbol, im.places(sites), need), nil
		}
	}
	r := Resolved{
		Point: p.Point, Means: p.Means, Symbol: c.Symbol, Addr: s.Addr, Params: []Param{}, Inlined: true, In: s.In,
		Why: fmt.Sprintf("%s is inlined into %s: its first instruction there, at %s, by the debug information", c.Symbol, s.In, im.places(sites)),
	}
	for _, p := range params {
		r.Params = append(r.Params, Param{Name: p.Name, Type: p.Type, Size: p.Size, Signed: p.Signed, Pointer: p.Pointer, Struct: p.Struct})
	}
	return r, "", nil
}

// places returns a text that names the first few sites.
func (im *Image) places(sites []debuginfo.Site) string {
	var names []string
	for i, s := range sites {
		if i == 4 {
			names = append(names, "…")
			break
		}
		at := fmt.Sprintf("%#x", s.Addr)
		if sym, off, ok := im.Symbols.At(s.Addr); ok {
			at = fmt.Sprintf("%s+%#x", sym.Name, off)
		}
		if s.File != "" {
			at += fmt.Sprintf(" (%s:%d)", s.File, s.Line)
		}
		names = append(names, at)
	}
	return strings.Join(names, ", ")
}

// Arguments returns the arguments of a point that is an inlined function, at its
// first instruction. regs are the registers of the stopped CPU. An argument that
// the compiler has optimized away has Missing set.
func (im *Image) Arguments(r Resolved, regs map[string]uint64, read ReadWord) ([]debuginfo.Variable, error) {
	all, err := im.Variables([]Frame{{PC: r.Addr, Regs: regs, Interrupted: true}}, 0, read)
	if err != nil {
		return nil, err
	}
	for i, at := range im.Source(r.Addr) {
		if at.Function == r.Symbol && i < len(all) {
			return slices.DeleteFunc(all[i], func(v debuginfo.Variable) bool { return !v.Arg }), nil
		}
	}
	return nil, fmt.Errorf("the debug information lacks the arguments of %s at %#x", r.Symbol, r.Addr)
}

// isInlined reports whether the vmlinux, if there is one, has a place where a function
// is inlined.
func (im *Image) isInlined(name string) bool {
	if im.debug == nil {
		return false
	}
	found, err := im.sites(name)
	return err == nil && slices.ContainsFunc(found.At, func(s debuginfo.Site) bool { return s.Inlined })
}
