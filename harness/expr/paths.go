package expr

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Paths returns the names that an expression uses, each with its members: task.pid is
// [task pid]. The names of functions are not among them.
func (e *Expr) Paths() [][]string {
	var out [][]string
	walk(e.node, func(n ast.Node) bool {
		p := path(n)
		if p != nil {
			out = append(out, p)
		}
		return p == nil
	})
	return out
}

// path returns a.b.c as its names, nil when it does not begin with a name.
func path(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return []string{n.Value}
	case *ast.MemberNode:
		if p := path(n.Node); p != nil {
			return append(p, n.Property.(*ast.StringNode).Value)
		}
	}
	return nil
}

// Texts returns the texts that an expression contains.
func (e *Expr) Texts() []string {
	var out []string
	walk(e.node, func(n ast.Node) bool {
		if s, ok := n.(*ast.StringNode); ok {
			out = append(out, s.Value)
		}
		return true
	})
	return out
}

// Given returns the texts that an expression gives to functions: names of points, of
// functions and of structures.
func (e *Expr) Given() []string {
	var out []string
	walk(e.node, func(n ast.Node) bool {
		_, args, _ := call(n)
		for _, arg := range args {
			if s, ok := arg.(*ast.StringNode); ok {
				out = append(out, s.Value)
			}
		}
		return true
	})
	return out
}

// Members returns the members that an expression names of an object, each once: with
// "arg" its own arguments, with "clone", "arg" those of the stop at clone.
func (e *Expr) Members(of ...string) []string { return below(e.Paths(), of) }

// Needed is Members without those that ?? has an alternative for.
func (e *Expr) Needed(of ...string) []string { return e.Needs().Of(of...) }

// Needs are the paths without which an expression has no value.
type Needs [][]string

// Of returns the members that the paths name of an object.
func (n Needs) Of(of ...string) []string { return below(n, of) }

// Needs returns what Needed looks in, for a caller that asks about many objects.
func (e *Expr) Needs() Needs {
	var paths [][]string
	walk(e.node, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "??" {
			return false
		}
		p := path(n)
		if p != nil {
			paths = append(paths, p)
		}
		return p == nil
	})
	return paths
}

// below returns the members that paths name of an object.
func below(paths [][]string, of []string) []string {
	var out []string
	for _, p := range paths {
		if len(p) > len(of) && slices.Equal(p[:len(of)], of) && !slices.Contains(out, p[len(of)]) {
			out = append(out, p[len(of)])
		}
	}
	return out
}
