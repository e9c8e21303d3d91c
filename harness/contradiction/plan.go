package contradiction

import (
	"fmt"
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/plan"
	"kernellab/harness/trace"
)

// Plan is what a trace was recorded by. It is safe for concurrent use.
type Plan struct {
	points       []*planned
	conditionals []string          // roles that are known by a condition
	instead      map[string]string // what a stop is at another way to do what the entry does, by point
}

// planned is a point whose expressions are parsed.
type planned struct {
	plan.Point
	finds, reads map[string]parsed
	when         *expr.Expr // nil for none
	// whenReads is true where the condition depends on the point's own reads.
	whenReads bool
}

// parsed is an expression with its text.
type parsed struct {
	*expr.Expr
	text string
}

// NewPlan parses the expressions of a lab's points. tasks are those that are known by a
// condition, and instead are other ways to do what the entry does, as in probe.Plan.
func NewPlan(points []plan.Point, tasks []plan.Task, instead []plan.Point) (*Plan, error) {
	out := &Plan{instead: map[string]string{}}
	for _, t := range tasks {
		out.conditionals = append(out.conditionals, t.Role)
	}
	for _, p := range instead {
		out.instead[p.Name] = p.Aside
	}
	for _, p := range points {
		made := &planned{Point: p}
		var err error
		if made.finds, err = parse(p.Finds); err != nil {
			return nil, fmt.Errorf("%s: find %w", p.Name, err)
		}
		if made.reads, err = parse(p.Reads); err != nil {
			return nil, fmt.Errorf("%s: read %w", p.Name, err)
		}
		if p.When != "" {
			if made.when, err = expr.Parse(p.When); err != nil {
				return nil, fmt.Errorf("%s: condition %q: %w", p.Name, p.When, err)
			}
			made.whenReads = slices.ContainsFunc(made.when.Paths(), func(path []string) bool { return path[0] == "read" })
		}
		out.points = append(out.points, made)
	}
	return out, nil
}

func parse(all []plan.Named) (map[string]parsed, error) {
	out := map[string]parsed{}
	for _, n := range all {
		e, err := expr.Parse(n.Expr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Name, err)
		}
		out[n.Name] = parsed{e, n.Expr}
	}
	return out, nil
}

func (p *Plan) point(name string) *planned {
	i := slices.IndexFunc(p.points, func(q *planned) bool { return q.Name == name })
	return p.points[i] // fits
}

// conditional reports whether a role is known by a condition; without a plan it may be.
func (p *Plan) conditional(role string) bool {
	return p != nil && slices.Contains(p.conditionals, role)
}

// otherWay checks a stop at another way to do what the entry does.
func (c *checker) otherWay(e *trace.Event) {
	program := c.past[0].Task
	switch {
	case c.plan != nil && e.Aside != c.plan.instead[e.Point]:
		c.wrong("aside", "%q is not what the lab has %s as, %q", e.Aside, e.Point, c.plan.instead[e.Point])
	case e.Task.TGID != program.TGID:
		c.wrong("task.tgid", "%d is not the program, %d", e.Task.TGID, program.TGID)
	case e.ByOther:
		c.wrong("by_other", "%s is a point of no task", e.Point)
	}
}

// byOther checks whether only its task keeps an aside from being a step of the lab.
func (c *checker) byOther(e *trace.Event, p *planned) {
	possible := e.Aside == "another task" && !p.Entry && p.when != nil && !p.whenReads && len(c.rounds) > 0
	if !possible {
		if e.ByOther {
			c.wrong("by_other", "not only the task can differ here")
		}
		return
	}
	latest := *e
	latest.Round = len(c.rounds)
	switch holds := c.holds(&latest, p); {
	case e.ByOther && holds == no:
		c.wrong("by_other", "%s does not hold", p.When)
	case !e.ByOther && holds == yes:
		c.wrong("by_other", "only the task differs: %s", p.When)
	}
}

// planHolds checks a stop against the plan's point.
func (c *checker) planHolds(e *trace.Event, _ trace.Point) {
	if _, ok := c.instead[e.Point]; ok {
		c.otherWay(e)
		return
	}
	if c.plan == nil {
		return
	}
	p := c.plan.point(e.Point)
	if e.Aside != "" {
		// Of other points the round is not known, in which the condition did not hold.
		if p.Entry && p.Aside != "" && e.Aside == p.Aside && c.holds(e, p) == yes {
			c.wrong("aside", "it is a step of the lab: %s", p.When)
		}
		known := func(q *planned) bool {
			return e.Aside == q.Aside || e.Aside == "not the call the lab is about: "+q.When
		}
		call := p.Within != "" && e.Aside == "another call of the same task"
		if e.Aside != "another task" && !call && !slices.ContainsFunc(c.plan.points, known) {
			c.wrong("aside", "%q is no reason of this lab", e.Aside)
		}
		c.byOther(e, p)
		return
	}
	if e.Role != p.Role {
		c.wrong("role", "%q at the point of %q", e.Role, p.Role)
	}
	if c.holds(e, p) == no {
		c.wrong("point", "%s does not hold", p.When)
	}
	c.compareReads(e, p)
	for _, role := range sorted(p.finds) {
		want, ok := c.eval(e, p.finds[role].Expr)
		if found, has := e.Finds[role]; !has || ok && want != any(found) {
			c.wrong("finds."+role, "%s is not %s, %s", found, p.finds[role].text, want)
		}
	}
	if len(e.Finds) != len(p.finds) {
		c.wrong("finds", "%d tasks, and the point finds %d", len(e.Finds), len(p.finds))
	}
	c.cloneFlags(e, p)
}

// compareReads checks the values that follow from the rest of the stop.
func (c *checker) compareReads(e *trace.Event, p *planned) {
	for _, name := range sorted(p.reads) {
		number, isNumber := e.Reads[name]
		text, isText := e.Texts[name]
		if _, unread := e.Unread[name]; unread {
			continue
		}
		switch want, ok := c.eval(e, p.reads[name].Expr); {
		case !ok || !isNumber && !isText:
		case isText && text != want:
			c.wrong("texts."+name, "%q is not %s, %v", text, p.reads[name].text, want)
		case isNumber && number != want:
			c.wrong("reads."+name, "%s is not %s, %v", number, p.reads[name].text, want)
		}
	}
}

// cloneFlags checks what kernel_clone was given by a clone of the same task. The first
// stop of a task at kernel_clone after its system call is that call's, as kernel_clone
// was armed.
func (c *checker) cloneFlags(e *trace.Event, p *planned) {
	at := place(c.points[e.Point])
	if at != "kernel_clone" && at != "sched_fork" || p.when != nil {
		return
	}
	for _, call := range slices.Backward(c.past) {
		if slices.Contains(call.Disarms, e.Point) {
			return // the call's own stop here may have been missed
		}
		if call.Kind != trace.KindStop || call.Task.Address != e.Task.Address {
			continue
		}
		here := place(c.points[call.Point])
		if here != "sys_clone" && making[here] == "" && here != "copy_process" && here != "kernel_clone" || here == at {
			return
		}
		if here != "sys_clone" {
			continue
		}
		given, ok := call.Arg("clone_flags")
		if !ok || call.armed != nil && !call.armed[e.Point] {
			return
		}
		const signal = 0xff // CSIGNAL
		flags := given & 0xffffffff &^ signal
		if v, ok := e.Arg("clone_flags"); ok && v != flags {
			c.wrong("args.clone_flags", "%s are not the flags of the clone in event %d, %s", v, call.Seq, flags)
		}
		stack, _ := call.Arg("newsp")
		want := map[string]trace.Word{"arg.args.flags": flags, "arg.args.exit_signal": given & signal, "arg.args.stack": stack}
		for _, name := range sorted(p.reads) {
			v, read := e.Reads[name]
			if w, ok := want[strings.ReplaceAll(p.reads[name].text, " ", "")]; ok && read && v != w {
				c.wrong("reads."+name, "%s is not what the clone in event %d was given, %s", v, call.Seq, w)
			}
		}
		return
	}
}
