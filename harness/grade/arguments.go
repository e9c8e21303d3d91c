package grade

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// Arguments returns the arguments of functions that the rules ask for, by point:
// a kernel whose function has none of that name can not be graded.
func (r Rules) Arguments() map[string][]string {
	out := map[string][]string{}
	use := func(src, at string) {
		node, err := parse(src)
		if err != nil {
			return // Validate tells it
		}
		u := &arguments{rules: r, at: at, out: out}
		ast.Walk(&node, u)
	}
	for _, p := range r.Points {
		use(p.Lifetime, p.Name)
		for _, s := range p.Show {
			use(s.Expr, p.Name)
		}
	}
	for _, c := range r.Checks {
		for _, src := range []string{c.Observed, c.Expected, c.That} {
			use(src, c.At)
		}
	}
	for _, q := range r.Questions {
		use(q.Truth, q.At)
		for _, c := range q.Choices {
			use(c.When, q.At)
		}
	}
	return out
}

// arguments is an ast.Visitor that collects arg.NAME and POINT.arg.NAME.
type arguments struct {
	rules Rules
	at    string
	out   map[string][]string
}

func (u *arguments) Visit(node *ast.Node) {
	m, ok := (*node).(*ast.MemberNode)
	if !ok {
		return
	}
	p, at := path(m), u.at
	if len(p) == 3 {
		at, p = p[0], p[1:]
	}
	if _, known := u.rules.point(at); !known || len(p) != 2 || p[0] != "arg" || slices.Contains(u.out[at], p[1]) {
		return
	}
	u.out[at] = append(u.out[at], p[1])
}
