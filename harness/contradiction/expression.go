package contradiction

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"kernellab/harness/trace"
)

// value is what an expression of a plan gives: a number, or a text.
type value struct {
	v    trace.Word
	s    string
	text bool
	task bool // v is the address of a task_struct
}

// eval evaluates an expression of a plan as far as the rest of the stop has its parts;
// ok is false for one that reads other memory of the guest.
func (c *checker) eval(e *trace.Event, n ast.Node) (out value, ok bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return value{v: trace.Word(n.Value)}, true
	case *ast.IdentifierNode:
		return c.name(e, n.Value)
	case *ast.MemberNode:
		if member, ok := n.Property.(*ast.StringNode); ok {
			return c.memberOf(e, n.Node, member.Value)
		}
	case *ast.BinaryNode:
		a, ok := c.eval(e, n.Left)
		if n.Operator == "??" {
			return a, ok
		}
		b, also := c.eval(e, n.Right)
		switch {
		case !ok || !also || a.text || b.text:
		case n.Operator == "+":
			return value{v: a.v + b.v}, true
		case n.Operator == "-":
			return value{v: a.v - b.v}, true
		}
	case *ast.CallNode:
		return c.call(e, n)
	}
	return value{}, false
}

func (c *checker) name(e *trace.Event, name string) (value, bool) {
	if name == "current" {
		return value{v: e.Task.Address, task: true}, true
	}
	if register, ok := c.header.Roles[name]; ok {
		v, ok := e.Registers[register]
		return value{v: v}, ok
	}
	v := c.bound(e.Round, name)
	return value{v: v, task: true}, v != 0
}

// memberOf is base.name.
func (c *checker) memberOf(e *trace.Event, base ast.Node, name string) (value, bool) {
	if id, ok := base.(*ast.IdentifierNode); ok {
		switch id.Value {
		case "arg":
			for _, a := range e.Args {
				if a.Name == name {
					return value{v: a.Value, task: strings.TrimPrefix(a.Type, "const ") == "struct task_struct *"}, true
				}
			}
			return value{}, false
		case "reg":
			v, ok := e.Registers[name]
			return value{v: v}, ok
		}
	}
	if m, ok := base.(*ast.MemberNode); ok {
		member, _ := m.Property.(*ast.StringNode)
		of, ok := c.eval(e, m.Node)
		if member == nil || !ok || !of.task {
			return value{}, false
		}
		switch member.Value {
		case "user":
			return c.userRegister(e, of.v, name)
		case "thread":
			return c.threadMember(e, of.v, name)
		}
	}
	of, ok := c.eval(e, base)
	if !ok || !of.task {
		return value{}, false
	}
	t, known := task(e, of.v)
	if name == "stack" {
		s := image(e, of.v)
		return value{v: s.Bottom}, s.Bottom != 0
	}
	if name == "real_parent" && of.v == e.Task.Address && e.Parent != nil {
		return value{v: e.Parent.Address, task: true}, true
	}
	switch {
	case !known:
	case name == "pid":
		return value{v: trace.Word(t.PID)}, true
	case name == "tgid":
		return value{v: trace.Word(t.TGID)}, true
	case name == "comm":
		return value{s: t.Comm, text: true}, true
	}
	return value{}, false
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

// userRegister is a register of the program that a task has saved.
func (c *checker) userRegister(e *trace.Event, at trace.Word, name string) (value, bool) {
	if program, _ := user(e); program != nil && at == e.Task.Address {
		switch name {
		case "pc":
			return value{v: program.PC}, true
		case "sp":
			return value{v: program.SP}, true
		}
	}
	if member, ok := c.arch.Syscall.User[name]; ok {
		name = member
	}
	return slot(image(e, at).User, name)
}

// threadMember is a member of a task's thread.
func (c *checker) threadMember(e *trace.Event, at trace.Word, name string) (value, bool) {
	return slot(image(e, at).Switch, "thread."+name)
}

func slot(slots []trace.Slot, name string) (value, bool) {
	for _, s := range slots {
		if s.Name == name {
			return value{v: s.Value}, true
		}
	}
	return value{}, false
}

// call is a function of the language.
func (c *checker) call(e *trace.Event, n *ast.CallNode) (value, bool) {
	if len(n.Arguments) == 0 {
		return value{}, false
	}
	a, ok := c.eval(e, n.Arguments[0])
	switch n.Callee.String() {
	case "str": // of a task's comm
		return a, ok && a.text
	case "symbol":
		f, known := c.functions[a.v]
		return value{s: f.symbol, text: true}, ok && !a.text && known
	case "u64":
		for _, s := range e.Stacks {
			if ok && s.Bottom == a.v && len(s.Unread) == 0 {
				return value{v: s.Magic}, true
			}
			for _, w := range s.Switch {
				if ok && w.Address == a.v {
					return value{v: w.Value}, true
				}
			}
		}
	}
	return value{}, false
}

// answer is what a condition gives.
type answer int

const (
	unknown answer = iota
	yes
	no
)

// holds evaluates the condition of a point at a stop. One that does not end in a truth
// value is unknown, as is one over a stop that the round does not have.
func (c *checker) holds(e *trace.Event, p *planned) answer {
	if p.when == nil {
		return unknown
	}
	env := e.Env(c.header.Roles)
	for name, v := range p.constants {
		env[name] = v
	}
	for _, q := range c.past {
		if q.Kind == trace.KindStop && q.Aside == "" && q.Round == e.Round && slices.Contains(p.names, q.Point) {
			env[q.Point] = q.Env(c.header.Roles)
		}
	}
	if p.Entry {
		env[p.Role] = int(e.Task.Address)
	} else {
		for role, at := range c.rounds[e.Round-1] {
			env[role] = int(at)
		}
	}
	out, err := p.when(env)
	ok, isBool := out.(bool)
	switch {
	case err != nil || !isBool:
		return unknown
	case ok:
		return yes
	}
	return no
}
