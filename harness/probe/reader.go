package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kernellab/harness/kernel"
	"kernellab/harness/task"
)

// scope is what a read expression sees at one stop.
//
// A read is an expression of expr-lang's grammar, evaluated on the stopped
// guest with the kernel's own types:
//
//	current, parent, child   the tasks, as pointers to struct task_struct
//	arg.NAME                 an argument of the function, typed by BTF
//	pc, sp, ret, …           registers, by role
//	reg.NAME                 registers, by name
//	X.member                 a member of the structure X is or points to
//	TASK.user.member         the task's saved user registers: a member of struct
//	                         pt_regs, or a role: pc, sp, ret
//	u8(A) u16(A) u32(A) u64(A)  memory at address A
//	A + B, A - B, A * B      64 bits, wrapping
//	A ?? B                   B where this kernel's A has no such member
type scope struct {
	reader *task.Reader
	view   *task.View // of this stop
	im     *kernel.Image
	user   map[string]string // role → member of pt_regs

	tasks map[string]uint64 // "current", …: 0 is not known
	args  map[string]value
	roles map[string]uint64
	regs  map[string]uint64
}

// value is a number, or a structure that lies at or is pointed to by v.
type value struct {
	v      uint64
	strct  string // structure of a pointer or an embedded structure
	inside bool   // v is the address of an embedded structure, not a pointer value
	// Of an embedded structure: the path to it from the outermost one, and its
	// offset there.
	path   string
	offset int
}

// errNoMember marks that a kernel lacks a member, which ?? catches.
var errNoMember = errors.New("no such member")

// CheckRead reports whether expr is a read expression.
func CheckRead(expr string) error {
	tree, err := parser.Parse(expr)
	if err != nil {
		return fmt.Errorf("read %q: %w", expr, err)
	}
	return checkNode(tree.Node)
}

func checkNode(n ast.Node) error {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.IdentifierNode:
		return nil
	case *ast.MemberNode:
		if _, ok := n.Property.(*ast.StringNode); !ok {
			return fmt.Errorf("%s: only members by name can be read", n)
		}
		return checkNode(n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "??":
			return errors.Join(checkNode(n.Left), checkNode(n.Right))
		}
		return fmt.Errorf("%s: a read has only the operators + - * ??", n)
	case *ast.CallNode:
		if _, err := width(n); err != nil {
			return err
		}
		return checkNode(n.Arguments[0])
	}
	return fmt.Errorf("%s: not part of a read expression", n)
}

// width returns the number of bytes that a call such as u64(A) reads.
func width(n *ast.CallNode) (int, error) {
	widths := map[string]int{"u8": 1, "u16": 2, "u32": 4, "u64": 8}
	w, ok := widths[n.Callee.String()]
	if !ok || len(n.Arguments) != 1 {
		return 0, fmt.Errorf("%s: want u8, u16, u32 or u64 of one address", n)
	}
	return w, nil
}

// eval evaluates a read expression.
func (s *scope) eval(ctx context.Context, expr string) (uint64, error) {
	tree, err := parser.Parse(expr)
	if err != nil {
		return 0, fmt.Errorf("read %q: %w", expr, err)
	}
	if err := checkNode(tree.Node); err != nil {
		return 0, err
	}
	v, err := s.node(ctx, tree.Node)
	if err != nil {
		return 0, err
	}
	if v.inside {
		return 0, fmt.Errorf("%s is a whole struct %s: name a member", expr, v.strct)
	}
	return v.v, nil
}

func (s *scope) node(ctx context.Context, n ast.Node) (value, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return value{v: uint64(n.Value)}, nil
	case *ast.IdentifierNode:
		return s.identifier(n.Value)
	case *ast.MemberNode:
		return s.member(ctx, n)
	case *ast.CallNode:
		size, err := width(n)
		if err != nil {
			return value{}, err
		}
		addr, err := s.node(ctx, n.Arguments[0])
		if err != nil {
			return value{}, err
		}
		v, err := s.reader.Uint(ctx, addr.v, size)
		return value{v: v}, err
	case *ast.BinaryNode:
		return s.binary(ctx, n)
	}
	return value{}, fmt.Errorf("%s: not part of a read expression", n)
}

func (s *scope) binary(ctx context.Context, n *ast.BinaryNode) (value, error) {
	left, err := s.node(ctx, n.Left)
	if n.Operator == "??" {
		if errors.Is(err, errNoMember) {
			return s.node(ctx, n.Right)
		}
		return left, err
	}
	if err != nil {
		return value{}, err
	}
	right, err := s.node(ctx, n.Right)
	if err != nil {
		return value{}, err
	}
	switch n.Operator {
	case "+":
		return value{v: left.v + right.v}, nil
	case "-":
		return value{v: left.v - right.v}, nil
	default:
		return value{v: left.v * right.v}, nil
	}
}

func (s *scope) identifier(name string) (value, error) {
	if addr, ok := s.tasks[name]; ok {
		if addr == 0 {
			return value{}, fmt.Errorf("%s is not known at this stop", name)
		}
		return value{v: addr, strct: "task_struct"}, nil
	}
	if v, ok := s.roles[name]; ok {
		return value{v: v}, nil
	}
	return value{}, fmt.Errorf("%s: unknown; there are current, parent, child, arg, reg and the registers by role", name)
}

func (s *scope) member(ctx context.Context, n *ast.MemberNode) (value, error) {
	name := n.Property.(*ast.StringNode).Value
	if id, ok := n.Node.(*ast.IdentifierNode); ok {
		switch id.Value {
		case "arg":
			if v, ok := s.args[name]; ok {
				return v, nil
			}
			return value{}, fmt.Errorf("%s: the function here has no such argument", n)
		case "reg":
			if v, ok := s.regs[name]; ok {
				return value{v: v}, nil
			}
			return value{}, fmt.Errorf("%s: no such register", n)
		}
	}
	base, err := s.node(ctx, n.Node)
	if err != nil {
		return value{}, err
	}
	if base.strct == "" {
		return value{}, fmt.Errorf("%s: %s is a number, it has no members", n, n.Node)
	}
	if base.v == 0 {
		return value{}, fmt.Errorf("%s: %s is NULL", n, n.Node)
	}
	if base.strct == "task_struct" && name == "user" {
		addr, err := s.reader.UserRegs(ctx, base.v)
		return value{v: addr, strct: userRegs, inside: true}, err
	}
	strct := base.strct
	if strct == userRegs {
		strct = "pt_regs"
		if m, ok := s.user[name]; ok {
			name = m
		}
	}
	f, err := s.im.Field(strct, name)
	if err != nil {
		return value{}, fmt.Errorf("%s: %w: %w", n, errNoMember, err)
	}
	path, whole := strct+"."+name, f
	if base.path != "" {
		path = base.path + "." + name
		whole.Offset += base.offset
	}
	if f.Struct != "" && !f.Pointer {
		return value{v: base.v + uint64(f.Offset), strct: f.Struct, inside: true, path: path, offset: whole.Offset}, nil
	}
	s.reader.Saw(path, whole)
	v, err := s.reader.Field(ctx, base.v, f)
	if err != nil {
		return value{}, fmt.Errorf("%s: %w", n, err)
	}
	return value{v: v, strct: f.Struct}, nil
}

// userRegs is struct pt_regs reached as TASK.user, where roles are members too.
const userRegs = "pt_regs of the user"
