package expr

import (
	"context"
	"errors"

	"github.com/expr-lang/expr/ast"
)

// Sources evaluates the parts that an expression's value is made of, and calls found
// with each part and its value. A part is a name with its members, or what a function of
// the environment gives. Operands, the arguments of other functions and of symbol, and
// the side that a condition or ?? chooses are taken apart further.
func (e *Expr) Sources(ctx context.Context, env Env, found func(part string, v any) error) error {
	return (&evaluation{e.constants, env, false}).sources(ctx, e.node, found)
}

func (e *evaluation) sources(ctx context.Context, n ast.Node, found func(string, any) error) error {
	each := func(nodes ...ast.Node) error {
		for _, n := range nodes {
			if err := e.sources(ctx, n, found); err != nil {
				return err
			}
		}
		return nil
	}
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode:
		return nil
	case *ast.UnaryNode:
		return each(n.Node)
	case *ast.ConditionalNode:
		cond, err := e.plain(ctx, n.Cond)
		switch {
		case err != nil:
			return err
		case cond == true:
			return each(n.Exp1)
		}
		return each(n.Exp2)
	case *ast.BinaryNode:
		if n.Operator != "??" {
			return each(n.Left, n.Right)
		}
		if _, err := e.node(ctx, n.Left); errors.Is(err, ErrNoMember) {
			return each(n.Right)
		}
		return each(n.Left)
	case *ast.IdentifierNode:
		if _, constant := e.constants[n.Value]; constant {
			return nil
		}
	case *ast.CallNode, *ast.BuiltinNode:
		if name, args, _ := call(n); functions[name].do != nil || name == "symbol" {
			return each(args...)
		}
	}
	v, err := e.node(ctx, n)
	if err != nil {
		return err
	}
	return found(n.String(), v)
}
