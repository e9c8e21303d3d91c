package contradiction

import (
	"slices"

	"kernellab/harness/trace"
)

// anyTask is the role of a point at which any task may stop.
const anyTask = "any"

// entry reports whether a point begins a round.
func (c *checker) entry(name string) bool {
	p := c.points[name]
	if p.Address == 0 {
		return false
	}
	if c.plan != nil {
		return c.plan.point(name).Entry
	}
	return !c.armable[name] // it is armed from the start
}

// bound returns the task of a role in a round, 0 for none.
func (c *checker) bound(round int, role string) trace.Word {
	if round < 1 || round > len(c.rounds) {
		return 0
	}
	return c.rounds[round-1][role]
}

// roleHolds checks the round of a stop and whose stop it is, and takes the tasks that
// it finds.
func (c *checker) roleHolds(e *trace.Event, p trace.Point) {
	if e.Aside != "" {
		return
	}
	begins := c.entry(e.Point)
	switch last := len(c.rounds); {
	case begins && e.Round != last+1:
		c.wrong("round", "%d is not the round that the call begins, %d", e.Round, last+1)
	case !begins && (e.Round < 1 || e.Round > last):
		c.wrong("round", "the round %d has not begun", e.Round)
	case e.Role == "":
		c.wrong("role", "a step of no task of the lab")
	}
	if c.err != nil {
		return
	}
	if begins {
		c.rounds = append(c.rounds, map[string]trace.Word{})
	}
	tasks, returns := c.rounds[e.Round-1], p.Address == 0
	switch at, known := tasks[e.Role]; {
	case e.Role == anyTask:
		if !returns && e.Round != len(c.rounds) {
			c.wrong("round", "%d is not the latest, %d", e.Round, len(c.rounds))
		}
	case known && at != e.Task.Address:
		c.wrong("task.address", "%s is not the %s of the round, %s", e.Task.Address, e.Role, at)
	case known && !returns:
		for i, later := range c.rounds[e.Round:] {
			if later[e.Role] == e.Task.Address {
				c.wrong("round", "%d is not the latest in which the task is the %s, %d", e.Round, e.Role, e.Round+i+1)
			}
		}
	case !known && !begins && c.found[e.Role] && !c.plan.conditional(e.Role):
		c.wrong("role", "no stop of this round has found the %s", e.Role)
	case !known && !returns && e.Round != len(c.rounds):
		c.wrong("round", "%d is not the latest, %d", e.Round, len(c.rounds))
	}
	if e.Role != anyTask {
		tasks[e.Role] = e.Task.Address
	}
	for _, role := range sorted(e.Finds) {
		at := e.Finds[role]
		if !kernelHalf(at) {
			c.wrong("finds."+role, "%s is no task_struct", at)
		}
		// What was another task's before is no longer.
		for i, tasks := range c.rounds {
			for other, task := range tasks {
				if task == at && c.found[other] && (i != e.Round-1 || other != role) {
					delete(tasks, other)
				}
			}
		}
		tasks[role] = at
	}
}

// arming checks that the guest could stop here, and what is armed from here on.
func (c *checker) arming(e *trace.Event, p trace.Point) {
	if p.Address == 0 {
		c.returned(e, p)
	} else if !c.armed[e.Point] {
		c.wrong("point", "it is not armed")
	}
	for i, names := range [][]string{e.Disarms, e.Arms} {
		field := []string{"disarms", "arms"}[i]
		for _, name := range names {
			switch p, ok := c.points[name]; {
			case !ok || p.Missing != "" || p.Address == 0:
				c.wrong(field, "%q is no point that can be armed", name)
			case c.armed[name] == (field == "arms"):
				c.wrong(field, "%s was so before", name)
			}
			c.armed[name] = field == "arms"
		}
	}
	if e.Aside == "" && c.entry(e.Point) {
		for name := range c.instead {
			c.armed[name] = false
		}
	}
}

// returned checks the return of a call against the call.
func (c *checker) returned(e *trace.Event, p trace.Point) {
	if e.Aside != "" {
		c.wrong("aside", "the return of a call is a step of the lab")
	}
	sp := c.arch.Registers.SP
	back := e.Registers[sp]
	if c.arch.Registers.Link == "" {
		back -= 8 // the return address was at the top of the stack
	}
	for _, call := range slices.Backward(c.past) {
		if call.Kind != trace.KindStop || call.Symbol != p.Symbol || call.Task.Address != e.Task.Address || call.Round != e.Round || call.Aside != "" {
			continue
		}
		if call.Registers[sp] != back {
			continue
		}
		if !slices.Equal(call.Args, e.Args) {
			c.wrong("args", "they are not those of the call in event %d", call.Seq)
		}
		if link := c.arch.Registers.Link; link != "" && call.Registers[link] != e.Address {
			c.wrong("address", "%s is not where the call in event %d returns to, %s", e.Address, call.Seq, call.Registers[link])
		}
		if len(call.Stack) > 1 && call.Stack[1].Trusted && !call.Stack[1].Inlined && !call.Stack[0].Inlined && call.Stack[1].PC != e.Address {
			c.wrong("address", "%s is not where the call in event %d returns to, %s", e.Address, call.Seq, call.Stack[1].PC)
		}
		return
	}
	c.wrong("registers."+sp, "no call of %s by this task returns to this place of its stack", p.Symbol)
}
