package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kernellab/harness/kernel"
	"kernellab/harness/task"
	"kernellab/internal/nearest"
)

// scope is what a read expression sees at one stop.
//
// A read is an expression of expr-lang's grammar, evaluated on the stopped
// guest with the kernel's own types:
//
//	current, ROLE            tasks, as pointers to struct task_struct
//	arg.NAME                 an argument of the function, typed by BTF
//	pc, sp, ret, link        registers, by role
//	reg.NAME                 registers, by name
//	X.member                 a member of the structure X is or points to
//	TASK.user.member         the task's saved user registers: a member of struct
//	                         pt_regs, or a role: pc, sp, ret
//	as(X, "STRUCT")          X as a pointer to that structure
//	u8(A) u16(A) u32(A) u64(A)  memory at address A
//	str(A)                   the text at address A, of the kernel or of current
//	symbol(A)                the name of the function that A is in
//	A + B, A - B, A * B      64 bits, wrapping
//	bitand(A, B), bitor, bitxor, bitshl, bitshr
//	A ?? B                   B where this kernel's A has no such member or argument
type scope struct {
	reader *task.Reader
	view   *task.View // of this stop
	im     *kernel.Image
	user   map[string]string // role → member of pt_regs

	tasks map[string]uint64 // "current", …: 0 is not known
	args  map[string]value
	roles map[string]uint64
	regs  map[string]uint64

	// dry: nothing is read, every pointer is taken for good; only types count.
	dry bool
}

// value is a number or text, or a structure that lies at or is pointed to by v.
type value struct {
	v      uint64
	text   *string
	strct  string // structure of a pointer or an embedded structure
	inside bool   // v is the address of an embedded structure or array, not a pointer value
	// Of an embedded structure: the path to it from the outermost one, and its
	// offset there.
	path   string
	offset int
}

// errNoMember marks that a kernel lacks a member, which ?? catches.
var errNoMember = errors.New("no such member")

// ReadNames are the names a read may begin with, other than roles of tasks.
func ReadNames() []string { return []string{"current", "arg", "reg", "pc", "sp", "ret", "link"} }

// readCalls are the functions of reads and how many arguments they take.
func readCalls() map[string]int {
	return map[string]int{"u8": 1, "u16": 1, "u32": 1, "u64": 1, "str": 1, "symbol": 1, "as": 2}
}

func readBuiltins() []string { return []string{"bitand", "bitor", "bitxor", "bitshl", "bitshr"} }

// CheckRead reports whether expr is a read expression. Roles are the tasks it
// may name; with nil any name will do.
func CheckRead(expr string, roles []string) error {
	tree, err := parser.Parse(expr)
	if err != nil {
		return fmt.Errorf("read %q: %w", expr, err)
	}
	return checkNode(tree.Node, roles)
}

func checkNode(n ast.Node, roles []string) error {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return nil
	case *ast.IdentifierNode:
		return checkName(n.Value, roles)
	case *ast.MemberNode:
		if _, ok := n.Property.(*ast.StringNode); !ok {
			return fmt.Errorf("%s: only members by name can be read", n)
		}
		return checkNode(n.Node, roles)
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "-", "*", "??":
			return errors.Join(checkNode(n.Left, roles), checkNode(n.Right, roles))
		}
		return fmt.Errorf("%s: a read has only the operators + - * ??", n)
	case *ast.BuiltinNode:
		for _, b := range readBuiltins() {
			if b == n.Name && len(n.Arguments) == 2 {
				return errors.Join(checkNode(n.Arguments[0], roles), checkNode(n.Arguments[1], roles))
			}
		}
	case *ast.CallNode:
		want, ok := readCalls()[n.Callee.String()]
		if !ok {
			return fmt.Errorf("%s: want u8, u16, u32 or u64, str, symbol or as", n)
		}
		if len(n.Arguments) != want {
			return fmt.Errorf("%s: %s takes %d, as in u64(A), str(A), symbol(A), as(A, \"STRUCT\"); u8, u16, u32 or u64 of one address", n, n.Callee, want)
		}
		if want == 2 {
			if _, ok := n.Arguments[1].(*ast.StringNode); !ok {
				return fmt.Errorf(`%s: want the name of a structure, as(A, "task_struct")`, n)
			}
		}
		return checkNode(n.Arguments[0], roles)
	}
	return fmt.Errorf("%s: not part of a read expression", n)
}

func checkName(name string, roles []string) error {
	if roles == nil {
		return nil
	}
	known := append(ReadNames(), roles...)
	for _, k := range known {
		if k == name {
			return nil
		}
	}
	if near := nearest.Words(name, known); len(near) > 0 {
		return fmt.Errorf("unknown name %q: did you mean %q?", name, near[0])
	}
	return fmt.Errorf("unknown name %q: it is one of %s", name, strings.Join(known, ", "))
}

// eval evaluates a read expression.
func (s *scope) eval(ctx context.Context, expr string) (value, error) {
	tree, err := parser.Parse(expr)
	if err != nil {
		return value{}, fmt.Errorf("read %q: %w", expr, err)
	}
	if err := checkNode(tree.Node, nil); err != nil {
		return value{}, err
	}
	v, err := s.node(ctx, tree.Node)
	if err != nil {
		return value{}, err
	}
	if v.inside {
		what := "an array: read it with str or u64"
		if v.strct != "" {
			what = "a whole struct " + v.strct + ": name a member"
		}
		return value{}, fmt.Errorf("%s is %s", expr, what)
	}
	return v, nil
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
		return s.call(ctx, n)
	case *ast.BinaryNode:
		return s.binary(ctx, n.Operator, n.Left, n.Right)
	case *ast.BuiltinNode:
		return s.binary(ctx, n.Name, n.Arguments[0], n.Arguments[1])
	}
	return value{}, fmt.Errorf("%s: not part of a read expression", n)
}

func (s *scope) binary(ctx context.Context, operator string, a, b ast.Node) (value, error) {
	left, err := s.node(ctx, a)
	if operator == "??" {
		if errors.Is(err, errNoMember) {
			return s.node(ctx, b)
		}
		return left, err
	}
	if err != nil {
		return value{}, err
	}
	right, err := s.node(ctx, b)
	if err != nil {
		return value{}, err
	}
	if left.text != nil || right.text != nil {
		return value{}, fmt.Errorf("%s %s %s: text is no number", a, operator, b)
	}
	x, y := left.v, right.v
	out := map[string]func() uint64{
		"+": func() uint64 { return x + y }, "-": func() uint64 { return x - y }, "*": func() uint64 { return x * y },
		"bitand": func() uint64 { return x & y }, "bitor": func() uint64 { return x | y }, "bitxor": func() uint64 { return x ^ y },
		"bitshl": func() uint64 { return x << y }, "bitshr": func() uint64 { return x >> y },
	}
	return value{v: out[operator]()}, nil
}

func (s *scope) identifier(name string) (value, error) {
	if addr, ok := s.tasks[name]; ok {
		if addr == 0 && !s.dry {
			return value{}, fmt.Errorf("%s is not known at this stop", name)
		}
		return value{v: addr, strct: "task_struct"}, nil
	}
	if v, ok := s.roles[name]; ok {
		return value{v: v}, nil
	}
	return value{}, checkName(name, s.taskNames())
}

func (s *scope) taskNames() []string {
	names := []string{}
	for name := range s.tasks {
		names = append(names, name)
	}
	return names
}

func (s *scope) member(ctx context.Context, n *ast.MemberNode) (value, error) {
	name := n.Property.(*ast.StringNode).Value
	if id, ok := n.Node.(*ast.IdentifierNode); ok {
		switch id.Value {
		case "arg":
			return s.argument(n.String(), name)
		case "reg":
			if v, ok := s.regs[name]; ok || s.dry {
				return value{v: v}, nil
			}
			return value{}, fmt.Errorf("%s: no such register", n)
		}
	}
	base, err := s.node(ctx, n.Node)
	if err != nil {
		return value{}, err
	}
	switch {
	case base.strct == "":
		return value{}, fmt.Errorf("%s: %s is a number, it has no members", n, n.Node)
	case base.v == 0 && !s.dry:
		return value{}, fmt.Errorf("%s: %s is NULL", n, n.Node)
	case base.strct == "task_struct" && name == "user":
		v := value{strct: userRegs, inside: true}
		if !s.dry {
			v.v, err = s.reader.UserRegs(ctx, base.v)
		}
		return v, err
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
	return s.field(ctx, n, base, strct, name, f)
}

func (s *scope) argument(what, name string) (value, error) {
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
	return value{}, fmt.Errorf("%s: %w: the function here has no such argument%s", what, errNoMember, hint)
}

// field reads the member f of the structure that base is or points to.
func (s *scope) field(ctx context.Context, n ast.Node, base value, strct, name string, f kernel.Field) (value, error) {
	path, whole := strct+"."+name, f
	if base.path != "" {
		path = base.path + "." + name
		whole.Offset += base.offset
	}
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
	if out.v, err = s.reader.Field(ctx, base.v, f); err != nil {
		return value{}, fmt.Errorf("%s: %w", n, err)
	}
	return out, nil
}

func (s *scope) saw(path string, f kernel.Field) {
	if !s.dry {
		s.reader.Saw(path, f)
	}
}

// userRegs is struct pt_regs reached as TASK.user, where roles are members too.
const userRegs = "pt_regs of the user"
