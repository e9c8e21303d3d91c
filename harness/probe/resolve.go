package probe

import (
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/kernel"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
)

// Resolved is a point of a plan in a given kernel.
type Resolved struct {
	kernel.Resolved
	// Missing says why this kernel has no such place; "" means that it has one. Only
	// optional points, and points that depend on one, may be missing.
	Missing string
}

// point is a Point that was resolved in this kernel.
type point struct {
	plan.Point
	Resolved
	when    *condition
	instead bool // it is one of Plan.Instead
	on      bool // armed
	due     int  // how many more times a point with Armed has to be seen
}

// hits returns how often the point is expected in a round.
func (p *point) hits() trace.Range { return p.Times() }

// Resolve finds a plan's points in a kernel. The error names all that are missing, and
// two places that are one in this kernel, unless each point says by "when" which of the
// stops there are its own. The return of a call has the place of the call and no address.
func Resolve(im *kernel.Image, all Plan) ([]Resolved, error) {
	var out []Resolved
	var errs []error
	byName := map[string]Resolved{}
	byAddr := map[uint64]plan.Point{}
	for _, p := range all.Points {
		r, err := resolve(im, p, all.needs(p), byName)
		if other, ok := byAddr[r.Addr]; ok && r.Addr != 0 && place(other) != place(p) && (other.When == "" || p.When == "") {
			err = errors.Join(err, fmt.Errorf("points %s and %s are both at %#x (%s): the lab can not tell them apart on this kernel",
				other.Name, p.Name, r.Addr, r.Symbol))
		}
		if err != nil && p.Source != "" {
			err = fmt.Errorf("%s: %w", p.Source, err)
		}
		byName[p.Name], byAddr[r.Addr] = r, p
		out, errs = append(out, r), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// resolveInstead finds the alternatives to the entry. A kernel may lack them.
func resolveInstead(im *kernel.Image, all Plan) []Resolved {
	var out []Resolved
	for _, p := range all.Instead {
		p.Optional = true
		r, err := resolve(im, p, kernel.Needs{}, nil)
		if err != nil {
			r = Resolved{Missing: err.Error()}
		}
		out = append(out, r)
	}
	return out
}

// Bare returns the plan with no reads at a point, so that the kernel resolves the point
// as well as it can: to an inlined function itself, and not to a function that stands
// in for it because of its arguments. It reports whether that is another place.
func Bare(im *kernel.Image, all Plan, name string) (Plan, bool) {
	i := slices.IndexFunc(all.Points, func(p plan.Point) bool { return p.Name == name })
	if i < 0 {
		return all, false
	}
	p := all.Points[i]
	p.Finds, p.Reads, p.Show = nil, nil, nil
	bare := all
	bare.Points = slices.Clone(all.Points)
	bare.Points[i] = p
	r, err := im.ResolveFor(place(p), bare.needs(p))
	if err != nil || !r.Inlined {
		return all, false
	}
	return bare, true
}

// needs returns what a point's place must provide.
func (all Plan) needs(p plan.Point) kernel.Needs {
	var needs kernel.Needs
	add := func(src string) { needs.Args = append(needs.Args, members(src, "arg")...) }
	for _, s := range p.Show {
		add(s.Expr)
	}
	add(p.When)
	needs.Args = append(needs.Args, all.recalled(p.Name)...)
	for _, n := range slices.Concat(p.Finds, p.Reads) {
		add(n.Expr)
	}
	needs.Called = slices.ContainsFunc(all.Points, func(q plan.Point) bool { return q.ReturnOf == p.Name })
	return needs
}

func resolve(im *kernel.Image, p plan.Point, needs kernel.Needs, before map[string]Resolved) (Resolved, error) {
	if p.ReturnOf != "" {
		call, ok := before[p.ReturnOf]
		if !ok {
			return Resolved{}, fmt.Errorf("%s is the return of %s, which is no earlier point", p.Name, p.ReturnOf)
		}
		if call.Missing != "" {
			return call, nil
		}
		call.Addr, call.Why = 0, "where the call of "+call.Symbol+" returns to"
		return call, nil
	}
	if why := missing(p, before); why != "" {
		return Resolved{Missing: why}, nil
	}
	r, err := im.ResolveFor(place(p), needs)
	var none *kernel.PointError
	if p.Optional && errors.As(err, &none) {
		return Resolved{Missing: err.Error()}, nil
	}
	return Resolved{Resolved: r}, err
}

// missing says why a point cannot be observed in any kernel of this architecture.
func missing(p plan.Point, before map[string]Resolved) string {
	why := p.Absent
	for i, name := range p.Armed {
		if before[name].Missing == "" {
			return why
		}
		if i == len(p.Armed)-1 && why == "" {
			why = "it is armed at " + name + ", which is not observed"
		}
	}
	return why
}

// HeaderInstead returns the alternatives to the entry that the kernel has, for a
// trace's header.
func HeaderInstead(im *kernel.Image, all Plan) []trace.Point {
	var out []trace.Point
	for i, r := range resolveInstead(im, all) {
		if r.Missing == "" {
			out = append(out, trace.Point{Point: all.Instead[i].Name, Symbol: r.Symbol, Address: trace.Word(r.Addr), Why: r.Why})
		}
	}
	return out
}

// Header returns the points for a trace's header.
func Header(im *kernel.Image, all Plan) ([]trace.Point, error) {
	resolved, err := Resolve(im, all)
	if err != nil {
		return nil, err
	}
	var out []trace.Point
	for i, r := range resolved {
		p := trace.Point{
			Point: all.Points[i].Name, Symbol: r.Symbol, Address: trace.Word(r.Addr), Why: r.Why, Missing: r.Missing, Inlined: r.In,
		}
		if at := im.Source(r.Addr); len(at) > 0 && r.Addr != 0 && at[0].File != "" {
			p.Source = fmt.Sprintf("%s:%d", at[0].File, at[0].Line)
		}
		if place := place(all.Points[i]); place != p.Point && all.Points[i].ReturnOf == "" {
			p.Place = place
		}
		out = append(out, p)
	}
	return out, nil
}
