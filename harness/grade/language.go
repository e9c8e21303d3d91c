package grade

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"kernellab/harness/trace"
	"kernellab/harness/verdict"
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
	ours     = []string{"flags", "signal", "state", "taskflags", "text", "hex", "hits", "calls"}
)

// source is what a name is looked up in.
type source interface {
	get(name string) (any, error)
	// member is get of a member of what get of a name gives.
	member(name, member string) (any, error)
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
		switch count := len(n.Arguments); {
		case f.err != nil || count == 1 || count == 2 && callee.Value == "calls":
		default:
			f.err = fmt.Errorf("%s takes one argument, not %d", callee.Value, count)
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
	call := func(from ast.Node, names ...string) {
		args := []ast.Node{from}
		for _, name := range names {
			args = append(args, &ast.StringNode{Value: name})
		}
		ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: lookup}, Arguments: args})
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(ours, n.Value) {
			call(&ast.IdentifierNode{Value: scopeName}, n.Value)
		}
	case *ast.MemberNode:
		name := n.Property.(*ast.StringNode).Value
		// X.name of a plain X is looked up at once: alone, the name of a task is its
		// address, and with a member it is what is known of it.
		if base, ok := n.Node.(*ast.CallNode); ok && len(base.Arguments) == 2 {
			if from, ok := base.Arguments[0].(*ast.IdentifierNode); ok && from.Value == scopeName {
				call(from, base.Arguments[1].(*ast.StringNode).Value, name)
				return
			}
		}
		call(n.Node, name)
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
		expr.Env(functions(nil)),
		expr.Function(lookup, func(args ...any) (any, error) {
			from, ok := args[0].(source)
			if !ok {
				return nil, fmt.Errorf("%q asked of a plain value", args[1])
			}
			if len(args) == 3 {
				return from.member(args[1].(string), args[2].(string))
			}
			return from.get(args[1].(string))
		}, new(func(any, string) any), new(func(any, string, string) any)),
		expr.Patch(rewrite{}), expr.MaxNodes(4 * maxNodes), expr.DisableAllBuiltins(),
	}
	for _, b := range builtins {
		options = append(options, expr.EnableBuiltin(b))
	}
	for name, show := range shows() {
		options = append(options, expr.Function(name, func(args ...any) (any, error) { return number(args[0], show) }, new(func(any) string)))
	}
	p, err = expr.Compile(src, options...)
	if err != nil {
		return nil, oneLine(err)
	}
	return p, nil
}

// Programs remembers compiled expressions: an expression is evaluated at several
// stops, live and again when the whole is graded, and compiling it takes longer
// than all of that. It is safe for concurrent use; nil remembers none.
type Programs struct{ by sync.Map } // *vm.Program, by source

func (m *Programs) compile(src string) (*vm.Program, error) {
	if m == nil {
		return compile(src)
	}
	if p, ok := m.by.Load(src); ok {
		return p.(*vm.Program), nil
	}
	p, err := compile(src)
	if err == nil {
		m.by.Store(src, p)
	}
	return p, err
}

// shows are the functions that give text for a number.
func shows() map[string]func(int) string {
	return map[string]func(int) string{
		"flags": flags, "signal": trace.Signal, "text": strconv.Itoa,
		"state":     func(n int) string { return bits(n, trace.TaskStates()) },
		"taskflags": func(n int) string { return bits(n, trace.TaskFlags()) },
		"hex":       func(n int) string { return trace.Word(n).String() },
	}
}

// functions are the variables of a compiled expression; s is nil for their types.
func functions(s *scope) map[string]any {
	return map[string]any{
		scopeName: source(s),
		"hits":    func(point string) (int, error) { return s.view.hitsOf(point) },
		"calls": func(symbol string, at ...string) (bool, error) {
			if len(at) == 0 {
				return s.view.calls(symbol, s.event)
			}
			e := s.round.first(at[0])
			if e == nil {
				return false, notHit(at[0])
			}
			return s.view.calls(symbol, e)
		},
	}
}

// hitsOf is count, where it is known.
func (v *view) hitsOf(point string) (int, error) {
	n := v.count(point)
	if n == 0 {
		if why := v.unwatched(point); why != nil {
			return 0, &missing{verdict.Fact{Case: verdict.CaseUnknown, Point: point, Why: []verdict.Fact{*why}}}
		}
	}
	return n, nil
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
	_, err = r.Programs.compile(src)
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
	eventNames = []string{"point", "symbol", "address", "cpu", "round", "task", "parent_task", "reg", "arg", "read", "pc", "sp", "ret", "link"}
	runNames   = []string{"sizes", "switch_frame", "arch", "kernel", "program"}
	ofTask     = []string{"address", "pid", "tgid", "comm"}
	members    = map[string][]string{
		"task":        ofTask,
		"parent_task": ofTask,
		"program":     {"exit", "signal", "output"},
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
		n.call(v)
	}
}

// call checks the names of points that functions take.
func (n *namer) call(v *ast.CallNode) {
	callee := v.Callee.(*ast.IdentifierNode).Value
	point := -1 // the argument that is a point's name
	switch callee {
	case "hits":
		point = 0
	case "calls":
		if point = 1; len(v.Arguments) == 1 {
			if n.at == "" {
				n.err = errors.New(`calls is of one stop: say at which point with "at", or calls("do_exit", "POINT")`)
			}
			point = -1
		}
		if _, ok := v.Arguments[0].(*ast.StringNode); !ok {
			n.err = errors.New(`calls takes the name of a function, as in calls("get_signal")`)
		}
	}
	if point < 0 || n.err != nil {
		return
	}
	s, ok := v.Arguments[point].(*ast.StringNode)
	if !ok {
		n.err = fmt.Errorf(`%s takes the name of a point, as in hits("sys_clone")`, callee)
	} else if _, ok := n.rules.point(s.Value); !ok {
		n.err = fmt.Errorf("no point %q%s", s.Value, didYouMean(s.Value, n.rules.names()))
	}
}

func (n *namer) root(name string) {
	if _, ok := n.rules.point(name); ok || slices.Contains(runNames, name) || slices.Contains(ours, name) || slices.Contains(n.rules.Roles(), name) {
		return
	}
	if _, ok := trace.Constants()[name]; ok {
		return
	}
	if !slices.Contains(eventNames, name) {
		all := slices.Concat(eventNames, runNames, n.rules.Roles(), n.rules.names(), keys(trace.Constants()))
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
	if slices.Contains(n.rules.Roles(), p[0]) {
		known, ok = ofTask, true
	}
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
