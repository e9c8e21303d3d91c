package grade

import (
	"fmt"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Follower turns the events of a run into steps as they come, for whoever
// watches it live. It is not safe for concurrent use.
type Follower struct {
	view  *view
	round round
}

// NewFollower returns a follower of a run with that header.
func NewFollower(h trace.Header, r Rules) *Follower {
	return &Follower{view: &view{trace: &trace.Trace{Header: h}, rules: r}}
}

// Steps returns all stops of a run that count, evidence included, in the order they came.
func Steps(t *trace.Trace, r Rules) []verdict.Step {
	f := NewFollower(t.Header, r)
	var out []verdict.Step
	for _, e := range t.Events {
		if s, ok := f.Step(e); ok {
			out = append(out, s)
		}
	}
	return out
}

// Step returns the step that e is, if it is one.
func (f *Follower) Step(e trace.Event) (verdict.Step, bool) {
	p, known := f.view.rules.point(e.Point)
	if e.Kind != trace.KindStop || e.Aside != "" || !known {
		return verdict.Step{}, false
	}
	if e.Round != f.round.number {
		f.round = round{number: e.Round}
	}
	f.round.stops = append(f.round.stops, e)
	s := verdict.Step{
		Point: e.Point, Symbol: e.Symbol, Address: e.Address, Role: e.Role, Round: e.Round,
		Seq: e.Seq, Evidence: !p.Step, Means: p.Means, Visibility: p.Visibility, Time: e.Time,
		Raw: &verdict.Raw{CPU: e.CPU, Registers: e.Registers, Args: e.Args, Reads: e.Reads, Texts: e.Texts},
	}
	for _, f := range e.Stack {
		s.Stack = append(s.Stack, f.String())
		s.Sources = append(s.Sources, f.Source())
	}
	if i := slices.IndexFunc(s.Sources, func(at string) bool { return at != "" }); i < 0 {
		s.Sources = nil
	}
	s.Source = f.view.source(e.Point)
	s.Stacks = e.Stacks
	if e.Symbol != f.view.place(e.Point) || f.view.inlined(e.Point) {
		s.Why = f.view.why(e.Point)
	}
	for _, read := range p.Reads {
		_, number := e.Reads[read.Name]
		if _, text := e.Texts[read.Name]; number || text {
			if s.Raw.Paths == nil {
				s.Raw.Paths = map[string]string{}
			}
			s.Raw.Paths[read.Name] = read.Expr
		}
	}
	if e.Task != nil {
		s.PID, s.TGID, s.Comm, s.Raw.Task = e.Task.PID, e.Task.TGID, e.Task.Comm, e.Task.Address
	}
	f.view.rounds = []round{f.round}
	s.Lifetime = f.view.line(p, &e, f.round)
	for _, show := range p.Show {
		s.Values = append(s.Values, f.view.shown(show, &e, f.round))
	}
	return s, true
}

// line is the event's line of the lifetime trace, "" for none.
func (v *view) line(p plan.Point, e *trace.Event, r round) string {
	if p.Lifetime == "" {
		return ""
	}
	who := func(t *trace.Task) string {
		if t == nil {
			return "?"
		}
		return fmt.Sprintf("%d[%s]", t.PID, t.Comm)
	}
	what := v.shown(plan.Named{Expr: p.Lifetime}, e, r)
	if what.Why != nil {
		what.Text = "?"
	}
	return who(e.Task) + "/" + who(e.Parent) + " " + what.Text
}

// place is the logical place in the kernel that a point of the lab is.
func (v *view) place(point string) string {
	for _, p := range v.trace.Header.Points {
		if p.Point == point && p.Place != "" {
			return p.Place
		}
	}
	return point
}

// inlined reports whether a point is a function inlined into another.
func (v *view) inlined(point string) bool {
	return slices.ContainsFunc(v.trace.Header.Points, func(p trace.Point) bool { return p.Point == point && p.Inlined != "" })
}

// source says where a point is in the kernel's source, if that is known.
func (v *view) source(point string) string {
	i := slices.IndexFunc(v.trace.Header.Points, func(p trace.Point) bool { return p.Point == point })
	if i < 0 {
		return ""
	}
	return v.trace.Header.Points[i].Source
}

// why says why a point is the symbol that it is on this kernel.
func (v *view) why(point string) string {
	i := slices.IndexFunc(v.trace.Header.Points, func(p trace.Point) bool { return p.Point == point })
	if i < 0 {
		return ""
	}
	return v.trace.Header.Points[i].Why
}

// shown evaluates and formats an expression for a person.
func (v *view) shown(show plan.Named, e *trace.Event, r round) verdict.Value {
	val, err := v.eval(show.Expr, e, r)
	if err != nil {
		why := reason(err)
		return verdict.Value{Name: show.Name, Why: &why}
	}
	return verdict.Value{Name: show.Name, Text: v.format(val, "")}
}

// symbol returns the symbol of the point at address, "" for none.
func (v *view) symbol(address trace.Word) string {
	i := slices.IndexFunc(v.trace.Header.Points, func(p trace.Point) bool { return p.Address == address })
	if i < 0 {
		return ""
	}
	return v.trace.Header.Points[i].Symbol
}

// format writes a value for a person.
func (v *view) format(val any, format string) string {
	s := expr.Format(val, format, v.symbol)
	if _, text := val.(string); text {
		return clip(s, 200)
	}
	return s
}
