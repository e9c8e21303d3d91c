package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/kernel"
	"kernellab/harness/task"
	"kernellab/internal/nearest"
)

// scope is the environment of expressions that are evaluated on the stopped guest, with
// the kernel's own types. Package expr documents the names.
type scope struct {
	cpu    int
	reader *task.Reader
	view   *task.View // of this stop
	im     *kernel.Image
	user   map[string]string // role → member of pt_regs

	// stops is the environment of the stops that were recorded before, by their points.
	points []string
	stops  expr.Env

	tasks map[string]uint64 // "current", …: 0 is not known
	args  map[string]value
	roles map[string]uint64
	regs  map[string]uint64

	// dry means that nothing is read and every pointer counts as valid; only types are
	// checked.
	dry bool

	// touched, if it is not nil, is called for each piece of memory that is read.
	touched func(Extent)
}

// value is a number, or a structure at address v or that v points to.
type value struct {
	v      uint64
	strct  string // structure of a pointer or an embedded structure
	inside bool   // v is the address of an embedded structure or array, not a pointer value
	// For an embedded structure: its path from the outermost structure, and its offset
	// there.
	path   string
	offset int
}

// CheckRead returns an error if src cannot be read from a stopped guest. roles are the
// tasks that it may name, beside the points of the plan.
func CheckRead(src string, roles []string, all Plan) error {
	e, err := expr.Parse(src)
	if err != nil {
		return err
	}
	kind, err := e.Check(expr.GuestNames{Roles: roles, Points: all.names(), Reads: all.reads})
	if err == nil && kind == expr.Truth {
		return errors.New("a read gives a number or a text, and this is true or false")
	}
	return err
}

// eval evaluates an expression on the stopped guest. The text is nil for a number.
func (s *scope) eval(ctx context.Context, src string) (number uint64, text *string, err error) {
	e, err := expr.Parse(src)
	if err != nil {
		return 0, nil, fmt.Errorf("read %q: %w", src, err)
	}
	v, err := e.Eval(ctx, s)
	if err != nil {
		return 0, nil, err
	}
	switch v := v.(type) {
	case int:
		return uint64(v), nil, nil
	case string:
		return 0, &v, nil
	case expr.Unknown:
		return 0, nil, nil // of a scope without a guest
	}
	return 0, nil, fmt.Errorf("%s gives %v: want a whole number or a text", src, v)
}

// Name implements expr.Env.
func (s *scope) Name(ctx context.Context, name string) (any, error) {
	if addr, ok := s.tasks[name]; ok {
		if addr == 0 && !s.dry {
			return nil, fmt.Errorf("%s is not known at this stop", name)
		}
		return s.object(value{v: addr, strct: "task_struct"}), nil
	}
	if v, ok := s.roles[name]; ok {
		return s.number(v), nil
	}
	switch {
	case name == "arg", name == "reg":
		return named{s, name}, nil
	case slices.Contains(s.points, name):
		return s.stops.Name(ctx, name)
	case name == "preempt_count", name == "current_at":
		if s.dry {
			return expr.Number, nil
		}
		v, err := s.perCPU(ctx, name)
		return int(v), err
	}
	return expr.GuestNames{Roles: slices.Sorted(maps.Keys(s.tasks))}.Name(ctx, name)
}

// perCPU returns what the kernel keeps for a CPU: see package expr.
func (s *scope) perCPU(ctx context.Context, name string) (uint64, error) {
	if name == "current_at" {
		return s.reader.CurrentAt(ctx, s.regs)
	}
	n, here, err := s.view.PreemptCount(ctx, s.cpu)
	if err == nil && !here {
		v, _, err := s.eval(ctx, "current.thread_info.preempt_count")
		return v, err
	}
	return uint64(n), err
}

// number returns a number, which is unknown without a guest.
func (s *scope) number(v uint64) any {
	if s.dry {
		return expr.Number
	}
	return int(v)
}

// object returns a value in the form that expressions use.
func (s *scope) object(v value) any {
	if v.strct == "" && !v.inside {
		return s.number(v.v)
	}
	return object{s, v}
}

// named implements expr.Object: the arguments or the registers.
type named struct {
	*scope
	what string
}

func (n named) Plain(bool) (any, error) { return nil, errors.New("no value by itself: name one") }

func (n named) Member(_ context.Context, name string) (any, error) {
	if n.what == "arg" {
		v, err := n.argument(name)
		return n.object(v), err
	}
	if v, ok := n.regs[name]; ok || n.dry {
		return n.number(v), nil
	}
	return nil, errors.New("no such register")
}

// object implements expr.Object: a structure or an array.
type object struct {
	*scope
	value
}

func (o object) Plain(whole bool) (any, error) {
	switch {
	case whole && o.inside && o.strct != "":
		return nil, fmt.Errorf("a whole struct %s: name a member", o.strct)
	case whole && o.inside:
		return nil, errors.New("an array: read it with str or u64")
	}
	return o.number(o.v), nil
}

func (o object) Member(ctx context.Context, name string) (any, error) {
	switch {
	case o.strct == "":
		return nil, errors.New("an array has no members")
	case o.v == 0 && !o.dry:
		return nil, errors.New("the pointer is NULL")
	case o.strct == "task_struct" && name == "user":
		v := value{strct: userRegs, inside: true}
		if !o.dry {
			var err error
			if v.v, err = o.reader.UserRegs(ctx, o.v); err != nil {
				return nil, err
			}
		}
		return object{o.scope, v}, nil
	}
	strct := o.strct
	if strct == userRegs {
		strct = "pt_regs"
		if m, ok := o.user[name]; ok {
			name = m
		}
	}
	f, err := o.im.Field(strct, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", expr.ErrNoMember, err)
	}
	v, err := o.field(ctx, o.value, strct, name, f)
	return o.scope.object(v), err
}

// argument returns an argument of the function.
func (s *scope) argument(name string) (value, error) {
	if v, ok := s.args[name]; ok {
		return v, nil
	}
	var have []string
	for arg := range s.args {
		have = append(have, arg)
	}
	hint := ""
	if near := nearest.Words(name, have); len(near) > 0 {
		hint = fmt.Sprintf(": did you mean arg.%s?", near[0])
	}
	if len(have) == 0 {
		hint = ", nor any that this kernel's types know of"
	}
	return value{}, fmt.Errorf("%w: the function here has no such argument%s", expr.ErrNoMember, hint)
}

// field reads the member f of the structure that base is or points to.
func (s *scope) field(ctx context.Context, base value, strct, name string, f kernel.Field) (value, error) {
	path, whole := strct+"."+name, f
	if base.path != "" {
		path = base.path + "." + name
		whole.Offset += base.offset
	}
	s.touch(memberExtent(base.v, path, f))
	if !f.Pointer && f.Struct != "" || f.Count > 0 {
		at := value{v: base.v + uint64(f.Offset), inside: true, path: path, offset: whole.Offset}
		if f.Count > 0 {
			s.saw(path, whole)
		} else {
			at.strct = f.Struct
		}
		return at, nil
	}
	s.saw(path, whole)
	out := value{strct: f.Struct}
	if s.dry {
		return out, nil
	}
	var err error
	out.v, err = s.reader.Field(ctx, base.v, f)
	return out, err
}

func (s *scope) saw(path string, f kernel.Field) {
	if !s.dry {
		s.reader.Record(path, f)
	}
}

// userRegs is struct pt_regs of TASK.user. Its members include the roles of registers.
const userRegs = "pt_regs of the user"
