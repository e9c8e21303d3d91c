package probe

import (
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/kernel"
	"kernellab/harness/trace"
)

// Resolved is a point of a plan as a kernel has it.
type Resolved struct {
	kernel.Resolved
	// Missing says why this kernel has no such place, which only an optional
	// point and what hangs on one may lack; "" for a point that is there.
	Missing string
}

// point is a Point as this kernel resolved it.
type point struct {
	Point
	Resolved
	when *condition
	on   bool // it is armed
	due  int  // how often a point with Armed is still to be seen
}

// Resolve finds a plan's points in a kernel, all that are missing named at once.
// The return of a call has the place of the call and no address.
func Resolve(im *kernel.Image, plan Plan) ([]Resolved, error) {
	var out []Resolved
	var errs []error
	byName := map[string]Resolved{}
	byAddr := map[uint64]Point{}
	for _, p := range plan.Points {
		r, err := resolve(im, p, plan.needs(p), byName)
		if other, ok := byAddr[r.Addr]; ok && r.Addr != 0 && other.place() != p.place() {
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

// Bare returns the plan with nothing read at a point, so that the point is where
// the kernel has it best: a function that is inlined, not what stands in for it
// because of its arguments. It tells whether that is another place.
func Bare(im *kernel.Image, plan Plan, name string) (Plan, bool) {
	i := slices.IndexFunc(plan.Points, func(p Point) bool { return p.Name == name })
	if i < 0 {
		return plan, false
	}
	p := plan.Points[i]
	p.Finds, p.Reads, p.Needs = nil, nil, nil
	bare := plan
	bare.Points = slices.Clone(plan.Points)
	bare.Points[i] = p
	r, err := im.ResolveFor(p.place(), bare.needs(p))
	if err != nil || !r.Inlined {
		return plan, false
	}
	return bare, true
}

// needs is what a point's place has to have.
func (plan Plan) needs(p Point) kernel.Needs {
	needs := kernel.Needs{Args: slices.Clone(p.Needs)}
	exprs := []string{p.When}
	for _, f := range p.Finds {
		exprs = append(exprs, f.Expr)
	}
	for _, r := range p.Reads {
		exprs = append(exprs, r.Expr)
	}
	for _, e := range exprs {
		needs.Args = append(needs.Args, members(e, "arg")...)
	}
	needs.Called = slices.ContainsFunc(plan.Points, func(q Point) bool { return q.ReturnOf == p.Name })
	return needs
}

func resolve(im *kernel.Image, p Point, needs kernel.Needs, before map[string]Resolved) (Resolved, error) {
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
	if why := p.missing(before); why != "" {
		return Resolved{Missing: why}, nil
	}
	r, err := im.ResolveFor(p.place(), needs)
	var none *kernel.PointError
	if p.Optional && errors.As(err, &none) {
		return Resolved{Missing: err.Error()}, nil
	}
	return Resolved{Resolved: r}, err
}

// missing says why a point can not be observed whatever the kernel has.
func (p Point) missing(before map[string]Resolved) string {
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

// Header returns the points as a trace's header has them.
func Header(im *kernel.Image, plan Plan) ([]trace.Point, error) {
	resolved, err := Resolve(im, plan)
	if err != nil {
		return nil, err
	}
	var out []trace.Point
	for i, r := range resolved {
		p := trace.Point{
			Point: plan.Points[i].Name, Symbol: r.Symbol, Address: trace.Word(r.Addr), Why: r.Why, Missing: r.Missing, Inlined: r.In,
		}
		if at := im.Source(r.Addr); len(at) > 0 && r.Addr != 0 && at[0].File != "" {
			p.Source = fmt.Sprintf("%s:%d", at[0].File, at[0].Line)
		}
		if place := plan.Points[i].place(); place != p.Point && plan.Points[i].ReturnOf == "" {
			p.Place = place
		}
		out = append(out, p)
	}
	return out, nil
}
