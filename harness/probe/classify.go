package probe

import (
	"context"
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"kernellab/harness/trace"
	"kernellab/internal/nearest"
)

// classify finds the point that a stop is, of those armed at its address, and
// opens a round at the entry. A stop that is part of no round has no point;
// aside says what it is, "" for one that is not worth a line.
//
// Of several points that it may be, it is the first that was not seen as often
// as it is to come.
func (d *driver) classify(ctx context.Context, s *scope, event *trace.Event) (p *point, rd *round, aside string, err error) {
	var full *point
	var fullRound *round
	for _, q := range d.armed[d.at] {
		qrd, why, err := d.match(ctx, q, s, *event)
		if err != nil {
			return nil, nil, "", fmt.Errorf("%s: %w", q.Name, err)
		}
		if qrd == nil {
			if aside == "" || why != anotherTask && why != "" {
				aside = why
				event.Point, event.Symbol, event.Address = q.Name, q.Symbol, trace.Word(d.at)
			}
			continue
		}
		if most := q.hits().Most; most > 0 && qrd.count[q.Name] >= most {
			if full == nil {
				full, fullRound = q, qrd
			}
			continue
		}
		p, rd = q, qrd
		break
	}
	if p == nil {
		p, rd = full, fullRound
	}
	if p == nil {
		return nil, nil, aside, nil
	}
	if rd.number == 0 {
		d.rounds = append(d.rounds, rd)
		rd.number = len(d.rounds)
	}
	if p.Role != Any {
		rd.tasks[p.Role] = s.tasks["current"]
	}
	return p, rd, "", nil
}

const anotherTask = "another task"

// match returns the round in which a stop is a point's, nil with the reason
// when it is not.
func (d *driver) match(ctx context.Context, p *point, s *scope, event trace.Event) (*round, string, error) {
	rd, bound, err := d.roundOf(p, s, event)
	if rd == nil || err != nil {
		return nil, anotherTask, err
	}
	if !bound {
		cond := d.condition(p.Role)
		ok, err := d.holds(ctx, cond, p, s, rd, event)
		if err != nil || !ok {
			return nil, "", err
		}
	}
	ok, err := d.holds(ctx, p.when, p, s, rd, event)
	switch {
	case err != nil:
		return nil, "", err
	case ok:
		return rd, "", nil
	case p.Aside != "":
		return nil, p.Aside, nil
	case p.Role == Any || len(d.armed[d.at]) > 1:
		return nil, "", nil
	}
	return nil, "not the call the lab is about: " + p.When, nil
}

// roundOf returns the latest round in which the stopped task may be the point's,
// a new one at the entry. bound is false when the role's condition is to decide.
func (d *driver) roundOf(p *point, s *scope, event trace.Event) (rd *round, bound bool, err error) {
	current := s.tasks["current"]
	if p.Entry {
		if event.Task.TGID != d.TGID {
			return nil, false, nil
		}
		return &round{tasks: map[string]uint64{p.Role: current}, stops: map[string]trace.Event{}, count: map[string]int{}}, true, nil
	}
	if len(d.rounds) == 0 {
		return nil, false, nil
	}
	latest := d.rounds[len(d.rounds)-1]
	if p.Role == Any {
		return latest, true, nil
	}
	for _, rd := range slices.Backward(d.rounds) {
		if rd.tasks[p.Role] == current {
			return rd, true, nil
		}
	}
	_, taken := latest.tasks[p.Role]
	if d.condition(p.Role) != nil && !taken {
		return latest, false, nil
	}
	return nil, false, nil
}

// condition returns how a role is known, nil for one that is told by a stop.
func (d *driver) condition(role string) *condition {
	for i, t := range d.Plan.Tasks {
		if t.Role == role && t.When != "" {
			return d.tasks[i]
		}
	}
	return nil
}

// condition is a compiled condition of the plan.
type condition struct {
	src     string
	program *vm.Program
	reads   bool     // it looks at the point's own reads
	points  []string // other points it looks at
}

// compileWhen compiles a condition; nil is always true.
func compileWhen(src string, plan Plan) (*condition, error) {
	if src == "" {
		return nil, nil
	}
	c := &condition{src: src}
	tree, err := parser.Parse(src)
	if err == nil {
		c.program, err = expr.Compile(src)
	}
	if err != nil {
		return nil, fmt.Errorf("condition %q: %w", src, err)
	}
	names := &identifiers{}
	ast.Walk(&tree.Node, names)
	c.reads = slices.Contains(names.all, "read")
	for _, p := range plan.Points {
		if slices.Contains(names.all, p.Name) {
			c.points = append(c.points, p.Name)
		}
	}
	return c, nil
}

// identifiers is an ast.Visitor that collects names, and those read.NAME and
// arg.NAME.
type identifiers struct{ all, reads, args []string }

func (i *identifiers) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		i.all = append(i.all, n.Value)
	case *ast.MemberNode:
		base, _ := n.Node.(*ast.IdentifierNode)
		member, _ := n.Property.(*ast.StringNode)
		switch {
		case base == nil || member == nil:
		case base.Value == "read":
			i.reads = append(i.reads, member.Value)
		case base.Value == "arg":
			i.args = append(i.args, member.Value)
		}
	}
}

// holds evaluates a condition. One that looks at a stop that has not come, or at
// a read that could not be made, does not hold.
func (d *driver) holds(ctx context.Context, c *condition, p *point, s *scope, rd *round, event trace.Event) (bool, error) {
	if c == nil {
		return true, nil
	}
	roles := d.Arch.Registers.Roles()
	more := map[string]any{}
	for _, name := range c.points {
		before, ok := rd.stops[name]
		if !ok {
			return false, nil
		}
		more[name] = before.Env(roles)
	}
	s.setTasks(d.roles, rd)
	for _, role := range d.roles {
		more[role] = int(s.tasks[role])
	}
	if c.reads {
		if err := d.read(ctx, p, s, &event); err != nil {
			return false, err
		}
		if len(event.Unread) > 0 {
			return false, nil
		}
	}
	env := trace.With(event.Env(roles), more)
	out, err := expr.Run(c.program, env)
	if err != nil {
		return false, fmt.Errorf("condition %q: %w", c.src, err)
	}
	ok, isBool := out.(bool)
	if !isBool {
		return false, fmt.Errorf("condition %q gives %v: want true or false", c.src, out)
	}
	return ok, nil
}

// whenNames are the names of a condition that are of the event.
func whenNames() []string {
	return []string{"symbol", "address", "cpu", "round", "task", "reg", "arg", "read", "pc", "sp", "ret", "link"}
}

// CheckWhen reports what is wrong with a condition of a point, "" for one of a
// task, that can be known without a guest.
func CheckWhen(src, point string, plan Plan) error {
	tree, err := parser.Parse(src)
	if err != nil {
		return err
	}
	known := append(whenNames(), plan.Roles()...)
	for name := range trace.Constants() {
		known = append(known, name)
	}
	var reads []string
	for _, p := range plan.Points {
		known = append(known, p.Name)
		if p.Name == point {
			for _, r := range p.Reads {
				reads = append(reads, r.Name)
			}
		}
	}
	names := &identifiers{}
	ast.Walk(&tree.Node, names)
	for _, name := range names.all {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown name %q%s", name, meant(name, known))
		}
	}
	for _, name := range names.reads {
		if !slices.Contains(reads, name) {
			return fmt.Errorf("read has no %q%s", name, meant(name, reads))
		}
	}
	_, err = compileWhen(src, plan)
	return err
}

// meant is the end of an error about an unknown name.
func meant(name string, known []string) string {
	if near := nearest.Words(name, known); len(near) > 0 {
		return fmt.Sprintf(": did you mean %q?", near[0])
	}
	return ""
}
