package expr

import (
	"context"
	"errors"
	"fmt"

	"github.com/expr-lang/expr/ast"
)

// Env is where the names of an expression come from. A value is an int, float64,
// string, bool, [Object] or [Unknown].
type Env interface {
	// Name returns the value of a name that is no constant.
	Name(ctx context.Context, name string) (any, error)
	// Call calls a function that only some environments have. Its arguments are as
	// many as the function takes.
	Call(ctx context.Context, function string, args []any) (any, error)
}

// Object is a value with members.
type Object interface {
	// Member returns the value of a member, or an error that wraps [ErrNoMember]
	// where the kernel has none of that name.
	Member(ctx context.Context, name string) (any, error)
	// Plain returns the value that the object is where no member of it is named: as an
	// operand, or as the value of the whole expression. Its error goes on after "X is".
	Plain(whole bool) (any, error)
}

// ErrNoMember says that a kernel lacks a member or an argument, for which ?? has an
// alternative.
var ErrNoMember = errors.New("no such member")

// Unknown is a value of a kind that is not known before a run.
type Unknown string

// The kinds of values. Any is none in particular.
const (
	Any    Unknown = ""
	Number Unknown = "number"
	Text   Unknown = "text"
	Truth  Unknown = "truth value"
)

// kind returns the kind of a value that is no object.
func kind(v any) Unknown {
	switch v := v.(type) {
	case int, float64:
		return Number
	case string:
		return Text
	case bool:
		return Truth
	case Unknown:
		return v
	}
	return Any
}

// Eval computes an expression. The value is an int, float64, string, bool or Unknown.
func (e *Expr) Eval(ctx context.Context, env Env) (any, error) {
	return (&evaluation{e.constants, env, false}).value(ctx, e.node, true)
}

// Check reports what is wrong with an expression that can be known from the names and
// the kinds of values. It evaluates both sides of ?? and every condition.
func (e *Expr) Check(env Env) (Unknown, error) {
	v, err := (&evaluation{e.constants, env, true}).value(context.Background(), e.node, true)
	return kind(v), err
}

// evaluation evaluates one expression.
type evaluation struct {
	constants map[string]int
	env       Env
	all       bool // every part, whatever the conditions are
}

// plain evaluates an operand.
func (e *evaluation) plain(ctx context.Context, n ast.Node) (any, error) {
	return e.value(ctx, n, false)
}

// value evaluates a node to a value that is no object.
func (e *evaluation) value(ctx context.Context, n ast.Node, whole bool) (any, error) {
	v, err := e.node(ctx, n)
	o, ok := v.(Object)
	if err != nil || !ok {
		return v, err
	}
	if v, err = o.Plain(whole); err != nil {
		return nil, fmt.Errorf("%s is %w", n, err)
	}
	return v, nil
}

func (e *evaluation) node(ctx context.Context, n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return n.Value, nil
	case *ast.FloatNode:
		return n.Value, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.IdentifierNode:
		if c, ok := e.constants[n.Value]; ok {
			return c, nil
		}
		return e.env.Name(ctx, n.Value)
	case *ast.MemberNode:
		return e.member(ctx, n)
	case *ast.UnaryNode:
		v, err := e.plain(ctx, n.Node)
		if err != nil {
			return nil, err
		}
		return at(n)(unary(n.Operator, v))
	case *ast.BinaryNode:
		return e.binary(ctx, n)
	case *ast.ConditionalNode:
		return e.conditional(ctx, n)
	}
	return e.call(ctx, n)
}

// at adds the part of the expression to an error.
func at(n ast.Node) func(any, error) (any, error) {
	return func(v any, err error) (any, error) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		return v, nil
	}
}

func (e *evaluation) member(ctx context.Context, n *ast.MemberNode) (any, error) {
	v, err := e.node(ctx, n.Node)
	if err != nil {
		return nil, err
	}
	name := n.Property.(*ast.StringNode).Value
	switch o := v.(type) {
	case Object:
		return at(n)(o.Member(ctx, name))
	case Unknown:
		if o == Any {
			return Any, nil
		}
	}
	return nil, fmt.Errorf("%s: %s is a %s, it has no members", n, n.Node, kind(v))
}

func (e *evaluation) binary(ctx context.Context, n *ast.BinaryNode) (any, error) {
	if n.Operator == "??" {
		v, err := e.node(ctx, n.Left)
		missing := errors.Is(err, ErrNoMember)
		if err != nil && !missing || err == nil && !e.all {
			return v, err
		}
		other, err := e.node(ctx, n.Right)
		if missing || err != nil {
			return other, err
		}
		return v, nil
	}
	left, err := e.plain(ctx, n.Left)
	if err != nil {
		return nil, err
	}
	if decides, ok := logical[n.Operator]; ok {
		if kind(left) == Truth && left == decides && !e.all {
			return left, nil
		}
	}
	right, err := e.plain(ctx, n.Right)
	if err != nil {
		return nil, err
	}
	return at(n)(operate(n.Operator, left, right))
}

func (e *evaluation) conditional(ctx context.Context, n *ast.ConditionalNode) (any, error) {
	cond, err := e.plain(ctx, n.Cond)
	if err != nil {
		return nil, err
	}
	holds, known := cond.(bool)
	switch {
	case kind(cond) != Truth && cond != Any:
		return nil, fmt.Errorf("%s: %s is a %s: a condition is true or false", n, n.Cond, kind(cond))
	case known && !e.all && holds:
		return e.node(ctx, n.Exp1)
	case known && !e.all:
		return e.node(ctx, n.Exp2)
	}
	a, err := e.node(ctx, n.Exp1)
	if err != nil {
		return nil, err
	}
	b, err := e.node(ctx, n.Exp2)
	if err != nil {
		return nil, err
	}
	if _, object := a.(Object); object || kind(a) != kind(b) {
		return Any, nil
	}
	return kind(a), nil
}

func (e *evaluation) call(ctx context.Context, n ast.Node) (any, error) {
	name, nodes, _ := call(n)
	f := functions[name]
	var args []any
	for _, arg := range nodes {
		eval := e.plain
		if f.do == nil {
			eval = e.node // an environment's own functions may take objects
		}
		v, err := eval(ctx, arg)
		if err != nil {
			return nil, err
		}
		args = append(args, v)
	}
	if f.do == nil {
		return at(n)(e.env.Call(ctx, name, args))
	}
	want := Number
	if f.texts {
		want = Text
	}
	for i, v := range args {
		if k := kind(v); k != want && k != Any {
			return nil, fmt.Errorf("%s: %s is no %s", n, nodes[i], want)
		}
		if _, unknown := v.(Unknown); unknown {
			return f.gives, nil
		}
	}
	return at(n)(f.do(args))
}
