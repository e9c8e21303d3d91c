package contradiction

import (
	"context"
	"errors"
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
)

// errElsewhere says that a value is in memory of the guest that the stop does not have.
var errElsewhere = errors.New("the stop does not have it")

// eval evaluates a read of the plan as far as the rest of the stop has its parts: to a
// trace.Word or a string. ok is false for one that reads other memory of the guest.
func (c *checker) eval(e *trace.Event, read *expr.Expr) (v any, ok bool) {
	out, err := read.Eval(context.Background(), guest{c, e})
	switch out := out.(type) {
	case int:
		return trace.Word(out), err == nil
	case string:
		return out, err == nil
	}
	return nil, false
}

// guest is an expr.Env: a stopped guest, as far as the stop has it.
type guest struct {
	*checker
	event *trace.Event
}

// members is an expr.Object that is no value by itself.
type members func(name string) (any, error)

func (m members) Member(_ context.Context, name string) (any, error) { return m(name) }
func (m members) Plain(bool) (any, error)                            { return nil, errElsewhere }

// taskAt is an expr.Object: a pointer to a task_struct.
type taskAt struct {
	guest
	at trace.Word
}

func (t taskAt) Plain(bool) (any, error) { return int(t.at), nil }

// number returns a word that the stop has.
func number(v trace.Word, ok bool) (any, error) {
	if !ok {
		return nil, errElsewhere
	}
	return int(v), nil
}

// Name is expr.Env's.
func (g guest) Name(_ context.Context, name string) (any, error) {
	switch name {
	case "current":
		return taskAt{g, g.event.Task.Address}, nil
	case "arg":
		return members(g.argument), nil
	case "reg":
		return members(func(name string) (any, error) {
			v, ok := g.event.Registers[name]
			return number(v, ok)
		}), nil
	}
	if register, ok := g.header.Roles[name]; ok {
		v, ok := g.event.Registers[register]
		return number(v, ok)
	}
	if at := g.bound(g.event.Round, name); at != 0 {
		return taskAt{g, at}, nil
	}
	return nil, errElsewhere
}

func (g guest) argument(name string) (any, error) {
	for _, a := range g.event.Args {
		switch {
		case a.Name != name:
		case strings.TrimPrefix(a.Type, "const ") == "struct task_struct *":
			return taskAt{g, a.Value}, nil
		default:
			return int(a.Value), nil
		}
	}
	return nil, errElsewhere
}

// Call is expr.Env's.
func (g guest) Call(_ context.Context, name string, args []any) (any, error) {
	if o, ok := args[0].(expr.Object); ok {
		v, err := o.Plain(false)
		if err != nil {
			return nil, err
		}
		args[0] = v
	}
	switch at := args[0].(type) {
	case string:
		if name == "str" { // of a task's name
			return at, nil
		}
	case int:
		if f, ok := g.functions[trace.Word(at)]; name == "symbol" && ok {
			return f.symbol, nil
		}
		if name == "u64" {
			return g.word(trace.Word(at))
		}
	}
	return nil, errElsewhere
}

// word is a word on one of the stacks of the stop.
func (g guest) word(at trace.Word) (any, error) {
	for _, s := range g.event.Stacks {
		if len(s.Unread) > 0 {
			continue
		}
		if s.Bottom == at {
			return int(s.Magic), nil
		}
		for _, w := range append(slices.Clone(s.Switch), s.User...) {
			if w.Address == at {
				return int(w.Value), nil
			}
		}
	}
	return nil, errElsewhere
}

// Member is expr.Object's.
func (t taskAt) Member(_ context.Context, name string) (any, error) {
	who, known := task(t.event, t.at)
	image := image(t.event, t.at)
	switch {
	case name == "user":
		return members(t.user), nil
	case name == "thread":
		return members(func(name string) (any, error) { return slot(image.Switch, "thread."+name) }), nil
	case name == "stack":
		return number(image.Bottom, image.Bottom != 0)
	case name == "real_parent" && t.at == t.event.Task.Address && t.event.Parent != nil:
		return taskAt{t.guest, t.event.Parent.Address}, nil
	case !known:
	case name == "pid":
		return who.PID, nil
	case name == "tgid":
		return who.TGID, nil
	case name == "comm":
		return who.Comm, nil
	}
	return nil, errElsewhere
}

// user is a register of the program that the task has saved.
func (t taskAt) user(name string) (any, error) {
	if program, _ := user(t.event); program != nil && t.at == t.event.Task.Address {
		switch name {
		case "pc":
			return int(program.PC), nil
		case "sp":
			return int(program.SP), nil
		}
	}
	if member, ok := t.arch.Syscall.User[name]; ok {
		name = member
	}
	return slot(image(t.event, t.at).User, name)
}

func slot(slots []trace.Slot, name string) (any, error) {
	for _, s := range slots {
		if s.Name == name {
			return int(s.Value), nil
		}
	}
	return nil, errElsewhere
}

// task returns the task at an address, if the stop has it.
func task(e *trace.Event, at trace.Word) (trace.Task, bool) {
	switch s := image(e, at); {
	case e.Task.Address == at:
		return *e.Task, true
	case e.Parent != nil && e.Parent.Address == at:
		return *e.Parent, true
	case s.Bottom != 0:
		return s.Task, true
	}
	return trace.Task{}, false
}

// image returns the stack of the task at an address; without a bottom for none.
func image(e *trace.Event, at trace.Word) trace.StackImage {
	for _, s := range e.Stacks {
		if s.Task.Address == at && len(s.Unread) == 0 {
			return s
		}
	}
	return trace.StackImage{}
}

// answer is what a condition gives.
type answer int

const (
	unknown answer = iota
	yes
	no
)

// holds evaluates the condition of a point at a stop. One that lacks a recorded value
// does not hold.
func (c *checker) holds(e *trace.Event, p *planned) answer {
	if p.when == nil {
		return unknown
	}
	out, err := p.when.Eval(context.Background(), &expr.Recording{
		Event: e, Roles: c.header.Roles,
		Stop: func(point string) (*trace.Event, bool) {
			for _, q := range slices.Backward(c.past) {
				if q.Kind == trace.KindStop && q.Aside == "" && q.Round == e.Round && q.Point == point {
					return q.Event, true
				}
			}
			return nil, slices.ContainsFunc(c.plan.points, func(q *planned) bool { return q.Name == point })
		},
		Task: func(role string) (expr.Task, bool) {
			at := c.bound(e.Round, role)
			if p.Entry && role == p.Role {
				at = e.Task.Address
			}
			return expr.Task{Address: at}, at != 0
		},
	})
	ok, isBool := out.(bool)
	var missing *expr.Missing
	switch {
	case errors.As(err, &missing) && missing.Kind != expr.NoTask:
		return no // as in a run
	case err != nil || !isBool:
		return unknown
	case ok:
		return yes
	}
	return no
}
