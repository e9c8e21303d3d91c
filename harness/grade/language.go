package grade

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"kernellab/harness/trace"
)

// The language of checks and shown values is a part of expr-lang: numbers,
// strings, operators, ?: and a few functions. It has no loops, lists or
// variables, so what an expression costs is bounded by its length.
//
// A name is looked up when it is needed and not before, and a value that is not
// in the trace is a *missing error, never a zero: a check whose evidence is
// absent must not pass by accident.

const (
	maxExpression = 1024 // bytes
	maxNodes      = 256
)

// lookup is the function that names are compiled into.
const lookup = "lookup"

var (
	operators = []string{"+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">=",
		"&&", "||", "and", "or", "not", "!", "contains", "startsWith", "endsWith"}
	builtins = []string{"bitand", "bitor", "bitxor", "bitnand", "bitnot", "bitshl", "bitshr", "bitushr", "abs", "min", "max"}
	ours     = []string{"flags", "signal", "hits"}
)

// source is what a name is looked up in.
type source interface {
	get(name string) (any, error)
}

// parse parses src and refuses what the language does not have.
func parse(src string) (ast.Node, error) {
	if strings.TrimSpace(src) == "" {
		return nil, errors.New("an empty expression")
	}
	if len(src) > maxExpression {
		return nil, fmt.Errorf("an expression of %d bytes, over the limit of %d", len(src), maxExpression)
	}
	tree, err := parser.Parse(src)
	if err != nil {
		return nil, oneLine(err)
	}
	f := &fence{}
	ast.Walk(&tree.Node, f)
	switch {
	case f.err != nil:
		return nil, f.err
	case f.nodes > maxNodes:
		return nil, fmt.Errorf("an expression of %d parts, over the limit of %d", f.nodes, maxNodes)
	}
	return tree.Node, nil
}

// fence is an ast.Visitor that keeps to the language.
type fence struct {
	nodes int
	err   error
}

func (f *fence) Visit(node *ast.Node) {
	f.nodes++
	if f.err != nil {
		return
	}
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConditionalNode, *ast.IdentifierNode:
	case *ast.UnaryNode:
		f.among("operator", n.Operator, append([]string{"-", "+"}, operators...))
	case *ast.BinaryNode:
		f.among("operator", n.Operator, operators)
	case *ast.BuiltinNode:
		f.among("function", n.Name, slices.Concat(ours, builtins))
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			f.err = errors.New("only a function can be called")
			return
		}
		f.among("function", callee.Value, slices.Concat(ours, builtins))
		if f.err == nil && len(n.Arguments) != 1 {
			f.err = fmt.Errorf("%s takes one argument, not %d", callee.Value, len(n.Arguments))
		}
	case *ast.MemberNode:
		if _, ok := n.Property.(*ast.StringNode); !ok || n.Optional {
			f.err = errors.New("a name follows a dot: write task.pid")
		}
	default:
		f.err = fmt.Errorf("the language of checks has no %s", construct(n))
	}
}

func (f *fence) among(what, name string, all []string) {
	if !slices.Contains(all, name) {
		f.err = fmt.Errorf("no %s %q%s", what, name, didYouMean(name, all))
	}
}

func construct(n ast.Node) string {
	s := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast."), "Node")
	return strings.ToLower(s)
}

// rewrite is an ast.Visitor that turns every name into a lookup.
type rewrite struct{}

func (rewrite) Visit(node *ast.Node) {
	call := func(from ast.Node, name string) {
		ast.Patch(node, &ast.CallNode{
			Callee:    &ast.IdentifierNode{Value: lookup},
			Arguments: []ast.Node{from, &ast.StringNode{Value: name}},
		})
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(ours, n.Value) {
			call(&ast.IdentifierNode{Value: scopeName}, n.Value)
		}
	case *ast.MemberNode:
		call(n.Node, n.Property.(*ast.StringNode).Value)
	}
}

// scopeName is the one variable of a compiled expression.
const scopeName = "scope"

func compile(src string) (p *vm.Program, err error) {
	// expr folds constants while it compiles, and division by zero panics there.
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("%v", r)
		}
	}()
	if _, err := parse(src); err != nil {
		return nil, err
	}
	options := []expr.Option{
		expr.Env(map[string]any{scopeName: source(nil), "hits": func(string) int { return 0 }}),
		expr.Function(lookup, func(args ...any) (any, error) {
			from, ok := args[0].(source)
			if !ok {
				return nil, fmt.Errorf("%q asked of a plain value", args[1])
			}
			return from.get(args[1].(string))
		}, new(func(any, string) any)),
		expr.Function("flags", func(args ...any) (any, error) { return number(args[0], flags) }, new(func(any) string)),
		expr.Function("signal", func(args ...any) (any, error) { return number(args[0], signal) }, new(func(any) string)),
		expr.Patch(rewrite{}), expr.MaxNodes(4 * maxNodes), expr.DisableAllBuiltins(),
	}
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	p, err = expr.Compile(src, options...)
	if err != nil {
		return nil, oneLine(err)
	}
	return p, nil
}

func number(v any, name func(int) string) (any, error) {
	n, ok := v.(int)
	if !ok {
		return nil, fmt.Errorf("%v is no number", v)
	}
	return name(n), nil
}

// oneLine drops the drawing of the expression from expr's errors.
func oneLine(err error) error {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(s)
}

// checkExpr reports what is wrong with an expression over the event of a point
// ("" for none) that does not need a trace to be known.
func (r Rules) checkExpr(src, at string) error {
	node, err := parse(src)
	if err != nil {
		return err
	}
	n := &namer{rules: r, at: at}
	ast.Walk(&node, n)
	if n.err != nil {
		return n.err
	}
	_, err = compile(src)
	return err
}

// namer is an ast.Visitor that knows every name that may be meant.
type namer struct {
	rules Rules
	at    string
	err   error
}

// The names every event has (see trace.Event.Env), and those of the whole run.
var (
	eventNames = []string{"point", "symbol", "address", "cpu", "round", "task", "reg", "arg", "read", "pc", "sp", "ret", "link"}
	runNames   = []string{"sizes", "switch_frame", "arch", "kernel", "program", "parent", "child"}
	members    = map[string][]string{
		"task":    {"address", "pid", "tgid", "comm"},
		"program": {"exit", "signal", "output"},
	}
)

func reserved(name string) bool {
	_, constant := trace.Constants()[name]
	return constant || slices.Contains(slices.Concat(eventNames, runNames, ours, builtins, []string{lookup, scopeName}), name)
}

func (n *namer) Visit(node *ast.Node) {
	if n.err != nil {
		return
	}
	switch v := (*node).(type) {
	case *ast.IdentifierNode:
		n.root(v.Value)
	case *ast.MemberNode:
		n.member(path(v))
	case *ast.CallNode:
		if v.Callee.(*ast.IdentifierNode).Value != "hits" {
			return
		}
		s, ok := v.Arguments[0].(*ast.StringNode)
		if !ok {
			n.err = errors.New(`hits takes the name of a point, as in hits("sys_clone")`)
		} else if _, ok := n.rules.point(s.Value); !ok {
			n.err = fmt.Errorf("no point %q%s", s.Value, didYouMean(s.Value, n.rules.names()))
		}
	}
}

func (n *namer) root(name string) {
	if _, ok := n.rules.point(name); ok || slices.Contains(runNames, name) || slices.Contains(ours, name) {
		return
	}
	if _, ok := trace.Constants()[name]; ok {
		return
	}
	if !slices.Contains(eventNames, name) {
		all := slices.Concat(eventNames, runNames, n.rules.names(), keys(trace.Constants()))
		n.err = fmt.Errorf("unknown name %q%s", name, didYouMean(name, all))
	} else if n.at == "" {
		n.err = fmt.Errorf("%q is of one event: say at which point with \"at\", or write POINT.%s", name, name)
	}
}

func (n *namer) member(p []string) {
	at := n.at
	if len(p) > 1 {
		if _, ok := n.rules.point(p[0]); ok {
			at, p = p[0], p[1:]
			if !slices.Contains(eventNames, p[0]) {
				n.err = fmt.Errorf("%s has no %q%s", at, p[0], didYouMean(p[0], eventNames))
				return
			}
		}
	}
	if len(p) < 2 {
		return
	}
	known, ok := members[p[0]]
	if p[0] == "read" {
		point, _ := n.rules.point(at)
		known, ok = point.Reads, true
		if len(known) == 0 {
			n.err = fmt.Errorf("%s reads nothing: name %q under its \"reads\"", at, p[1])
			return
		}
	}
	if ok && !slices.Contains(known, p[1]) {
		n.err = fmt.Errorf("%s has no %q%s", p[0], p[1], didYouMean(p[1], known))
	}
}

// path returns a.b.c as its names, nil when it does not begin with a name.
func path(m *ast.MemberNode) []string {
	prop, ok := m.Property.(*ast.StringNode)
	if !ok {
		return nil
	}
	switch n := m.Node.(type) {
	case *ast.IdentifierNode:
		return []string{n.Value, prop.Value}
	case *ast.MemberNode:
		if p := path(n); p != nil {
			return append(p, prop.Value)
		}
	}
	return nil
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
