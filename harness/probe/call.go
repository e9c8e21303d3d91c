package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/arch"
	"kernellab/harness/expr"
	"kernellab/harness/kernel"
	"kernellab/harness/task"
)

// maxText limits the length of a text, in bytes: PATH_MAX.
const maxText = 4096

// Call implements expr.Env.
func (s *scope) Call(ctx context.Context, function string, args []any) (any, error) {
	if function == "differs" {
		return s.differs(ctx, args[0], args[1])
	}
	addr, err := address(args[0])
	if err != nil {
		return nil, err
	}
	switch function {
	case "pte":
		return s.entry(ctx, args[0], args[1])
	case "as":
		strct := args[1].(string)
		if _, err := s.im.SizeOf(strct); err != nil {
			return nil, err
		}
		return object{s, value{v: addr, strct: strct}}, nil
	case "str":
		if s.dry {
			return expr.Text, nil
		}
		text, err := s.text(ctx, addr)
		s.touch(Extent{Addr: addr, Size: len(text) + 1, Name: "str", Text: true})
		return text, err
	case "symbol":
		if s.dry {
			return expr.Text, nil
		}
		sym, off, ok := s.im.Symbols.At(addr)
		switch {
		case !ok:
			return nil, fmt.Errorf("no symbol at %#x", addr)
		case off != 0:
			return fmt.Sprintf("%s+%#x", sym.Name, off), nil
		}
		return sym.Name, nil
	}
	width, ok := map[string]int{"u8": 1, "u16": 2, "u32": 4, "u64": 8}[function]
	switch {
	case !ok:
		return expr.GuestNames{}.Call(ctx, function, args)
	case s.dry:
		return expr.Number, nil
	}
	s.touch(Extent{Addr: addr, Size: width, Name: function})
	v, err := s.reader.Uint(ctx, addr, width)
	return int(v), err
}

// address returns the address that a value is.
func address(v any) (uint64, error) {
	switch v := v.(type) {
	case int:
		return uint64(v), nil
	case object:
		return v.v, nil
	case expr.Unknown:
		if v != expr.Text {
			return 0, nil
		}
	}
	return 0, errNoAddress
}

// entry returns the page table entry for an address in the address space of a task, or
// of an mm_struct.
func (s *scope) entry(ctx context.Context, space, at any) (any, error) {
	addr, err := address(at)
	if err != nil {
		return nil, err
	}
	of, _ := space.(object)
	switch of.strct {
	case "mm_struct":
	case "task_struct":
		mm, err := of.Member(ctx, "mm")
		if err != nil {
			return nil, err
		}
		of = mm.(object)
	default:
		return nil, errors.New("an address space is that of a task or of a struct mm_struct")
	}
	switch {
	case s.dry:
		return expr.GuestNames{}.Call(ctx, "pte", nil)
	case of.v == 0:
		return nil, errors.New("the task has no address space")
	}
	e, err := s.view.Entry(ctx, of.v, addr)
	s.touch(Extent{Addr: e.Address, Size: 8, Name: "pte"})
	return entry(e), err
}

// entry implements expr.Object: a page table entry.
type entry task.Entry

func (e entry) Plain(bool) (any, error) { return nil, errors.New("no value by itself: name a member") }

func (e entry) Member(_ context.Context, name string) (any, error) {
	bit := map[bool]int{true: 1}
	switch name {
	case "present":
		return bit[e.Present], nil
	case "writable":
		return bit[e.Writable], nil
	case "user":
		return bit[e.User], nil
	case "accessed":
		return bit[e.Accessed], nil
	case "dirty":
		return bit[e.Dirty], nil
	case "value":
		return int(e.Value), nil
	case "address":
		return int(e.Address), nil
	case "size":
		return int(e.Size), nil
	}
	switch {
	case !e.Present:
		return nil, errors.New("no page is mapped there")
	case name == "frame":
		return int(e.Frame), nil
	}
	return int(e.Direct), nil // CheckRead allows no other name
}

var errNoAddress = errors.New("an address is a number")

// text reads a text from the memory of the kernel or of the running process.
func (s *scope) text(ctx context.Context, addr uint64) (string, error) {
	if addr == 0 {
		return "", fmt.Errorf("the address is NULL")
	}
	read := s.view.Read
	if user := int64(addr) >= 0; user {
		mm, _, err := s.eval(ctx, "current.mm")
		if err != nil {
			return "", err
		}
		read = func(ctx context.Context, addr uint64, buf []byte) error { return s.view.ReadUser(ctx, mm, addr, buf) }
	}
	var out []byte
	for len(out) < maxText {
		const piece = 64 // divides the page size, so that no read crosses a page boundary
		buf := make([]byte, piece-int(addr%piece))
		if err := read(ctx, addr, buf); err != nil {
			return "", err
		}
		if before, _, ended := bytes.Cut(buf, []byte{0}); ended {
			return string(append(out, before...)), nil
		}
		out, addr = append(out, buf...), addr+uint64(len(buf))
	}
	return string(out), nil
}

// Check returns the errors in a plan's read expressions for a kernel's types, before
// anything runs.
func Check(im *kernel.Image, a arch.Arch, plan Plan) []error {
	resolved, err := Resolve(im, plan)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for i, p := range plan.Points {
		s := &scope{im: im, user: a.Syscall.User, tasks: map[string]uint64{"current": 0}, args: map[string]value{}, dry: true, roles: map[string]uint64{}}
		s.points, s.stops = plan.names(), &expr.Names{Points: plan.names(), Reads: plan.reads}
		for _, role := range plan.Roles() {
			s.tasks[role] = 0
		}
		for _, r := range []string{"pc", "sp", "ret", "link"} {
			s.roles[r] = 0
		}
		for _, param := range resolved[i].Params {
			s.args[param.Name] = argument(0, param)
		}
		if resolved[i].Missing != "" {
			continue
		}
		for _, name := range slices.Concat(members(p.When, "arg"), p.Args, plan.recalled(p.Name)) {
			if _, err := s.argument(name); err != nil {
				errs = append(errs, sourced(p.Source, fmt.Errorf("%s: arg.%s: %w", p.Name, name, err)))
			}
		}
		for _, f := range p.Finds {
			if _, _, err := s.eval(context.Background(), f.Expr); err != nil {
				errs = append(errs, sourced(p.Source, fmt.Errorf("%s: find the %s: %w", p.Name, f.Name, err)))
			}
		}
		for _, r := range p.Reads {
			if _, _, err := s.eval(context.Background(), r.Expr); err != nil {
				errs = append(errs, sourced(r.Source, fmt.Errorf("%s: read %s: %w", p.Name, r.Name, err)))
			}
		}
	}
	return errs
}

// recalled returns the arguments of a point that the reads of other points name.
func (p Plan) recalled(point string) []string {
	var args []string
	for _, q := range p.Points {
		for _, n := range slices.Concat(q.Finds, q.Reads) {
			if e, err := expr.Parse(n.Expr); err == nil {
				args = append(args, e.Needed(point, "arg")...)
			}
		}
	}
	return args
}

// members returns the members that an expression uses of an object.
func members(src string, of ...string) []string {
	e, err := expr.Parse(src)
	if err != nil {
		return nil // compileWhen and CheckRead report the error
	}
	return e.Members(of...)
}

func sourced(source string, err error) error {
	if source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", source, err)
}
