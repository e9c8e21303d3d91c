package grade

import (
	"errors"
	"fmt"
	"slices"

	"github.com/expr-lang/expr"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// missing says that a value an expression needs is not in the trace.
type missing struct{ verdict.Fact }

func (m *missing) Error() string { return "not in the trace: " + m.Case }

// unhit returns the point that was not hit, if that is why.
func (m *missing) unhit() string {
	if m.Case == verdict.CaseNotHit {
		return m.Point
	}
	return ""
}

// reason is why an expression has no value.
func reason(err error) verdict.Fact {
	var m *missing
	if errors.As(err, &m) {
		return m.Fact
	}
	return verdict.Fact{Case: verdict.CaseFailed, Said: oneLine(err).Error()}
}

// scope is what an expression sees: one event, if there is one, its round and
// the run.
type scope struct {
	view  *view
	event *trace.Event
	round round
}

// eval computes src over event e (nil for none) of round r.
func (v *view) eval(src string, e *trace.Event, r round) (any, error) {
	p, err := v.rules.Programs.compile(src)
	if err != nil {
		return nil, err
	}
	s := &scope{v, e, r}
	return expr.Run(p, functions(s))
}

// get finds a name: of the event, of the run, a point or a constant.
func (s *scope) get(name string) (any, error) {
	header := &s.view.trace.Header
	if _, ok := s.view.rules.point(name); ok {
		e := s.round.first(name)
		if e == nil {
			return nil, notHit(name)
		}
		return s.view.object(e), nil
	}
	switch name {
	case "sizes":
		return object{of: "sizes", fields: fields(header.Sizes)}, nil
	case "switch_frame":
		return header.SwitchFrame, nil
	case "arch":
		return header.Arch, nil
	case "kernel":
		return header.Kernel.Release, nil
	case "program":
		return s.program()
	}
	if slices.Contains(s.view.rules.Roles(), name) {
		return s.address(name)
	}
	if c, ok := trace.Constants()[name]; ok {
		return c, nil
	}
	if s.event == nil {
		return nil, &missing{verdict.Fact{Case: verdict.CaseNoEvent, Name: name}}
	}
	return s.view.object(s.event).get(name)
}

// member finds a member of what a name stands for.
func (s *scope) member(name, member string) (any, error) {
	if _, ok := s.view.rules.point(name); !ok && slices.Contains(s.view.rules.Roles(), name) {
		return s.task(name, member)
	}
	v, err := s.get(name)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%q asked of a plain value", member)
	}
	return o.get(member)
}

// address is where the task_struct of a task of the lab is.
func (s *scope) address(role string) (any, error) {
	for _, e := range s.round.stops {
		if e.Role == role && e.Task != nil {
			return int(e.Task.Address), nil
		}
		if at, ok := e.Finds[role]; ok {
			return int(at), nil
		}
	}
	return nil, &missing{verdict.Fact{Case: verdict.CaseNoTask, Role: role}}
}

// task is a member of a task of the lab, as it was at its last stop.
func (s *scope) task(role, member string) (any, error) {
	for _, e := range slices.Backward(s.round.stops) {
		if e.Role == role && e.Task != nil {
			return e.Task.Env()[member], nil
		}
	}
	if member == "address" {
		return s.address(role)
	}
	return nil, &missing{verdict.Fact{Case: verdict.CaseNoTask, Role: role}}
}

func notHit(point string) error {
	return &missing{verdict.Fact{Case: verdict.CaseNotHit, Point: point}}
}

func (s *scope) program() (any, error) {
	if s.view.exit == nil {
		return nil, &missing{verdict.Fact{Case: verdict.CaseNoEnd}}
	}
	x := s.view.exit.Exit
	f := map[string]any{"signal": x.Signal, "output": x.Output}
	if x.Signal == "" && !x.TimedOut && x.Stops == 0 {
		f["exit"] = x.Code
	}
	return object{of: "program", fields: f}, nil
}

// object is a value with fields.
type object struct {
	point  string // whose it is, "" for the run's
	of     string // and of what
	fields map[string]any
	unread map[string]string
}

func (o object) member(name, member string) (any, error) {
	v, err := o.get(name)
	if err != nil {
		return nil, err
	}
	inner, ok := v.(source)
	if !ok {
		return nil, fmt.Errorf("%q asked of a plain value", member)
	}
	return inner.get(member)
}

func (o object) get(name string) (any, error) {
	if v, ok := o.fields[name]; ok {
		return v, nil
	}
	if why, ok := o.unread[name]; ok {
		return nil, &missing{verdict.Fact{Case: verdict.CaseUnread, Point: o.point, Of: o.of, Name: name, Said: why}}
	}
	return nil, &missing{verdict.Fact{Case: verdict.CaseUnrecorded, Point: o.point, Of: o.of, Name: name}}
}

// object returns an event as expressions see it.
func (v *view) object(e *trace.Event) object {
	f := map[string]any{}
	for name, val := range e.Env(v.trace.Header.Roles) {
		switch val := val.(type) {
		case map[string]int:
			f[name] = object{point: e.Point, of: name, fields: fields(val)}
		case map[string]any:
			o := object{point: e.Point, of: name, fields: val}
			if name == "read" {
				o.of, o.unread = "", e.Unread
			}
			f[name] = o
		default:
			f[name] = val
		}
	}
	return object{point: e.Point, fields: f}
}

func fields(m map[string]int) map[string]any {
	f := map[string]any{}
	for k, n := range m {
		f[k] = n
	}
	return f
}
