package probe

import (
	"bytes"
	"context"
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kernellab/harness/arch"
	"kernellab/harness/kernel"
)

// maxText is the longest text that is read, in bytes: PATH_MAX.
const maxText = 4096

// call evaluates a function of reads.
func (s *scope) call(ctx context.Context, n *ast.CallNode) (value, error) {
	arg, err := s.node(ctx, n.Arguments[0])
	if err != nil {
		return value{}, err
	}
	if arg.text != nil {
		return value{}, fmt.Errorf("%s: %s is text, and no address", n, n.Arguments[0])
	}
	switch name := n.Callee.String(); name {
	case "as":
		strct := n.Arguments[1].(*ast.StringNode).Value
		if _, err := s.im.SizeOf(strct); err != nil {
			return value{}, fmt.Errorf("%s: %w", n, err)
		}
		return value{v: arg.v, strct: strct}, nil
	case "str":
		text := ""
		if !s.dry {
			text, err = s.text(ctx, arg.v)
		}
		if err != nil {
			return value{}, fmt.Errorf("%s: %w", n, err)
		}
		return value{text: &text}, nil
	case "symbol":
		text := ""
		if sym, off, ok := s.im.Symbols.At(arg.v); ok && !s.dry {
			if text = sym.Name; off != 0 {
				text += fmt.Sprintf("+%#x", off)
			}
		} else if !s.dry {
			return value{}, fmt.Errorf("%s: no symbol at %#x", n, arg.v)
		}
		return value{text: &text}, nil
	default:
		width := map[string]int{"u8": 1, "u16": 2, "u32": 4, "u64": 8}[name]
		if s.dry {
			return value{}, nil
		}
		v, err := s.reader.Uint(ctx, arg.v, width)
		return value{v: v}, err
	}
}

// text reads the text at an address: of the kernel, or of the running process.
func (s *scope) text(ctx context.Context, addr uint64) (string, error) {
	if addr == 0 {
		return "", fmt.Errorf("the address is NULL")
	}
	read := s.view.Read
	if user := int64(addr) >= 0; user {
		mm, err := s.eval(ctx, "current.mm")
		if err != nil {
			return "", err
		}
		read = func(ctx context.Context, addr uint64, buf []byte) error { return s.view.ReadUser(ctx, mm.v, addr, buf) }
	}
	var out []byte
	for len(out) < maxText {
		const piece = 64 // a page is a multiple, so that none crosses into the next
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

// Check reports what is wrong in a plan's read expressions by a kernel's types,
// before anything runs.
func Check(im *kernel.Image, a arch.Arch, plan Plan) []error {
	resolved, err := Resolve(im, plan)
	if err != nil {
		return []error{err}
	}
	var errs []error
	for i, p := range plan.Points {
		s := &scope{im: im, user: a.Syscall.User, tasks: map[string]uint64{"current": 0}, args: map[string]value{}, dry: true, roles: map[string]uint64{}}
		for _, role := range plan.Roles() {
			s.tasks[role] = 0
		}
		for _, r := range ReadNames()[3:] {
			s.roles[r] = 0
		}
		for _, param := range resolved[i].Params {
			s.args[param.Name] = argument(0, param)
		}
		if resolved[i].Missing != "" {
			continue
		}
		for _, name := range append(whenArgs(p.When), p.Args...) {
			if _, err := s.argument("arg."+name, name); err != nil {
				errs = append(errs, sourced(p.Source, fmt.Errorf("%s: %w", p.Name, err)))
			}
		}
		for _, f := range p.Finds {
			if _, err := s.eval(context.Background(), f.Expr); err != nil {
				errs = append(errs, sourced(p.Source, fmt.Errorf("%s: find the %s: %w", p.Name, f.Role, err)))
			}
		}
		for _, r := range p.Reads {
			if _, err := s.eval(context.Background(), r.Expr); err != nil {
				errs = append(errs, sourced(r.Source, fmt.Errorf("%s: read %s: %w", p.Name, r.Name, err)))
			}
		}
	}
	return errs
}

// whenArgs are the arguments of its own point that a condition names.
func whenArgs(src string) []string {
	tree, err := parser.Parse(src)
	if err != nil {
		return nil // compileWhen tells it
	}
	names := &identifiers{}
	ast.Walk(&tree.Node, names)
	return names.args
}

func sourced(source string, err error) error {
	if source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", source, err)
}
