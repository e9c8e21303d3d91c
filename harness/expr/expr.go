package expr

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"kernellab/harness/trace"
	"kernellab/internal/nearest"
)

const (
	maxBytes = 1024
	maxNodes = 256
)

// operators are those of two values; the others are - + not !.
var operators = []string{"+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=",
	"&&", "||", "and", "or", "contains", "startsWith", "endsWith", "??"}

// Expr is a parsed expression. It is safe for concurrent use.
type Expr struct {
	node      ast.Node
	constants map[string]int // those that it names
}

// constants are those of package trace, for reading only. To make them takes longer than to
// parse most expressions.
var constants = sync.OnceValue(trace.Constants)

// Parse parses an expression and refuses what the language does not have.
func Parse(src string) (*Expr, error) {
	if strings.TrimSpace(src) == "" {
		return nil, errors.New("an empty expression")
	}
	if len(src) > maxBytes {
		return nil, fmt.Errorf("an expression of %d bytes, over the limit of %d", len(src), maxBytes)
	}
	tree, err := parser.Parse(src)
	if err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n") // a drawing of the expression follows
		return nil, errors.New(line)
	}
	e := &Expr{node: tree.Node, constants: map[string]int{}}
	nodes := 0
	walk(tree.Node, func(n ast.Node) bool {
		if nodes++; err == nil {
			err = allowed(n)
		}
		if name, ok := n.(*ast.IdentifierNode); ok {
			if c, ok := constants()[name.Value]; ok {
				e.constants[name.Value] = c
			}
		}
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case nodes > maxNodes:
		return nil, fmt.Errorf("an expression of %d parts, over the limit of %d", nodes, maxNodes)
	}
	return e, nil
}

// allowed reports a node that the language does not have.
func allowed(node ast.Node) error {
	switch n := node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConditionalNode, *ast.IdentifierNode:
		return nil
	case *ast.UnaryNode:
		return among("operator", n.Operator, []string{"-", "+", "not", "!"})
	case *ast.BinaryNode:
		return among("operator", n.Operator, operators)
	case *ast.MemberNode:
		if _, ok := n.Property.(*ast.StringNode); !ok || n.Optional {
			return errors.New("a name follows a dot: write task.pid")
		}
		return nil
	case *ast.CallNode, *ast.BuiltinNode:
		name, args, ok := call(n)
		if !ok {
			return errors.New("only a function can be called")
		}
		if err := among("function", name, slices.Sorted(maps.Keys(functions))); err != nil {
			return err
		}
		return functions[name].takes(name, args)
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", node), "*ast."), "Node")
	return fmt.Errorf("the language has no %s", strings.ToLower(kind))
}

func among(what, name string, all []string) error {
	if slices.Contains(all, name) {
		return nil
	}
	return fmt.Errorf("no %s %q%s", what, name, nearest.Hint(name, all))
}

// call returns the function that a node calls, and its arguments.
func call(n ast.Node) (name string, args []ast.Node, ok bool) {
	switch n := n.(type) {
	case *ast.BuiltinNode:
		return n.Name, n.Arguments, true
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return "", nil, false
		}
		return callee.Value, n.Arguments, true
	}
	return "", nil, false
}

// walk visits a node and, where visit returns true, what it consists of. The names of
// functions and members are no nodes of their own.
func walk(n ast.Node, visit func(ast.Node) bool) {
	if !visit(n) {
		return
	}
	var parts []ast.Node
	switch n := n.(type) {
	case *ast.UnaryNode:
		parts = []ast.Node{n.Node}
	case *ast.BinaryNode:
		parts = []ast.Node{n.Left, n.Right}
	case *ast.ConditionalNode:
		parts = []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.MemberNode:
		parts = []ast.Node{n.Node}
	case *ast.CallNode, *ast.BuiltinNode:
		_, parts, _ = call(n)
	}
	for _, part := range parts {
		walk(part, visit)
	}
}
