package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kernellab/harness/expr"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
)

// classify returns the point of a stop, among the points that are armed at its address,
// and begins a round at the entry. A stop that belongs to no round has no point; then
// aside says what it is, or is "" if the stop is not worth recording.
//
// If several points match, classify returns the first one that was not seen as often as
// expected.
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
				if event.ByOther, err = d.byOther(ctx, q, s, *event, why); err != nil {
					return nil, nil, "", fmt.Errorf("%s: %w", q.Name, err)
				}
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
	event.ByOther = false
	if rd.number == 0 {
		d.rounds = append(d.rounds, rd)
		rd.number = len(d.rounds)
	}
	if p.Role != plan.Any {
		rd.tasks[p.Role] = s.tasks["current"]
	}
	return p, rd, "", nil
}

// byOther reports whether an aside would be a stop of the latest round if its task were
// the right one: the point's condition is true.
func (d *driver) byOther(ctx context.Context, p *point, s *scope, event trace.Event, aside string) (bool, error) {
	if aside != anotherTask || p.Entry || p.when == nil || p.when.reads || len(d.rounds) == 0 {
		return false, nil
	}
	return d.holds(ctx, p.when, p, s, d.rounds[len(d.rounds)-1], event)
}

const (
	anotherTask = "another task"
	anotherCall = "another call of the same task"
)

// within reports whether the task is still in the call that p is a step of.
func (rd *round) within(p *point) bool {
	c := rd.calls[p.Within]
	if c == nil {
		return false
	}
	if most := p.hits().Most; most > 0 && c.seen[p.Name] >= most {
		c.over = true
	}
	return !c.over
}

// match returns the round in which a stop belongs to a point, or nil and the reason why
// it does not.
func (d *driver) match(ctx context.Context, p *point, s *scope, event trace.Event) (*round, string, error) {
	if p.instead {
		if event.Task.TGID != d.TGID {
			return nil, "", nil
		}
		return nil, p.Aside, nil
	}
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
	case ok && p.Within != "" && !rd.within(p):
		return nil, anotherCall, nil
	case ok:
		return rd, "", nil
	case p.Aside != "":
		return nil, p.Aside, nil
	case p.Role == plan.Any || len(d.armed[d.at]) > 1:
		return nil, "", nil
	}
	return nil, "not the call the lab is about: " + p.When, nil
}

// roundOf returns the latest round in which the stopped task may have the point's role,
// or a new round at the entry. bound is false if the role's condition has to decide.
func (d *driver) roundOf(p *point, s *scope, event trace.Event) (rd *round, bound bool, err error) {
	current := s.tasks["current"]
	if p.Entry {
		if event.Task.TGID != d.TGID {
			return nil, false, nil
		}
		return &round{tasks: map[string]uint64{p.Role: current}, seen: map[string]*trace.Task{}, stops: map[string]trace.Event{}, count: map[string]int{}, calls: map[string]*entered{}}, true, nil
	}
	if len(d.rounds) == 0 {
		return nil, false, nil
	}
	latest := d.rounds[len(d.rounds)-1]
	if p.Role == plan.Any {
		return latest, true, nil
	}
	for _, rd := range slices.Backward(d.rounds) {
		if rd.tasks[p.Role] == current && !rd.reused(p.Role, event.Task) {
			return rd, true, nil
		}
	}
	_, taken := latest.tasks[p.Role]
	if d.condition(p.Role) != nil && !taken {
		return latest, false, nil
	}
	return nil, false, nil
}

// reused reports whether t, whose task_struct is that of a role's task, is another task:
// the kernel has freed the task_struct and made a new task in it, with another pid. A
// task that has not stopped yet has no pid to compare: it may not have had one when it
// was found.
func (rd *round) reused(role string, t *trace.Task) bool {
	was := rd.seen[role]
	return was != nil && was.PID != t.PID
}

// condition returns the condition of a role, nil for a role that a stop finds.
func (d *driver) condition(role string) *condition {
	for i, t := range d.Plan.Tasks {
		if t.Role == role && t.When != "" {
			return d.tasks[i]
		}
	}
	return nil
}

// condition is a parsed condition of the plan.
type condition struct {
	src    string
	expr   *expr.Expr
	reads  bool     // it uses the point's own reads
	points []string // other points that it uses
}

// compileWhen parses a condition; nil means always true.
func compileWhen(src string, all Plan) (*condition, error) {
	if src == "" {
		return nil, nil
	}
	e, err := expr.Parse(src)
	if err != nil {
		return nil, fmt.Errorf("condition %q: %w", src, err)
	}
	c := &condition{src: src, expr: e}
	for _, path := range e.Paths() {
		c.reads = c.reads || path[0] == "read"
		if all.has(path[0]) {
			c.points = append(c.points, path[0])
		}
	}
	return c, nil
}

func (all Plan) has(point string) bool {
	return slices.ContainsFunc(all.Points, func(p plan.Point) bool { return p.Name == point })
}

// holds evaluates a condition. A condition that uses a stop that has not happened, or a
// value that is missing, is false.
func (d *driver) holds(ctx context.Context, c *condition, p *point, s *scope, rd *round, event trace.Event) (bool, error) {
	if c == nil {
		return true, nil
	}
	for _, name := range c.points {
		if _, ok := rd.stops[name]; !ok {
			return false, nil
		}
	}
	d.setRound(s, rd)
	if c.reads {
		if err := d.read(ctx, p, s, &event); err != nil {
			return false, err
		}
		if len(event.Unread) > 0 {
			return false, nil
		}
	}
	out, err := c.expr.Eval(ctx, d.recording(rd, &event))
	var missing *expr.Missing
	switch {
	case errors.As(err, &missing):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("condition %q: %w", c.src, err)
	}
	ok, isBool := out.(bool)
	if !isBool {
		return false, fmt.Errorf("condition %q gives %v: want true or false", c.src, out)
	}
	return ok, nil
}

// recording returns the environment of conditions at a stop: the stops and tasks of the
// round so far.
func (d *driver) recording(rd *round, event *trace.Event) *expr.Recording {
	return &expr.Recording{
		Event: event, Roles: d.Arch.Registers.Roles(),
		Stop: func(point string) (*trace.Event, bool) {
			e, ok := rd.stops[point]
			if !ok {
				return nil, d.Plan.has(point)
			}
			return &e, true
		},
		Task: func(role string) (expr.Task, bool) {
			return expr.Task{Address: trace.Word(rd.tasks[role]), Last: rd.seen[role]}, slices.Contains(d.roles, role)
		},
	}
}

// CheckWhen returns the errors in a point's condition that can be found without a
// guest.
func CheckWhen(src, point string, all Plan) error {
	e, err := expr.Parse(src)
	if err != nil {
		return err
	}
	names := &expr.Names{Points: all.names(), Roles: all.Roles(), At: point, Reads: all.reads}
	kind, err := e.Check(names)
	if err == nil && kind != expr.Truth && kind != expr.Any {
		return fmt.Errorf("a condition is true or false, and this is a %s", kind)
	}
	return err
}
