package probe

import (
	"context"
	"fmt"
	"slices"

	"kernellab/harness/trace"
)

// breaks reports whether the guest stops at an address.
func (d *driver) breaks(addr uint64) bool {
	return addr == d.End || addr == d.Death && addr != 0 || d.watches(addr)
}

// watches reports whether an address belongs to a point or is the return address of a
// call.
func (d *driver) watches(addr uint64) bool {
	return len(d.armed[addr]) > 0 || slices.ContainsFunc(d.awaits, func(w await) bool { return w.addr == addr })
}

// arm arms a point.
func (d *driver) arm(ctx context.Context, p *point) error {
	if p.on {
		return nil
	}
	if !d.breaks(p.Addr) {
		if err := d.Guest.Insert(ctx, p.Addr); err != nil {
			return fmt.Errorf("break at %s (%s): %w", p.Name, p.Symbol, err)
		}
	}
	p.on = true
	d.armed[p.Addr] = nil
	for _, q := range slices.Concat(d.points, d.instead) {
		if q.on && q.Addr == p.Addr {
			d.armed[p.Addr] = append(d.armed[p.Addr], q)
		}
	}
	// A call at the entry may also be a later step of the current round. Only otherwise
	// it begins a new round.
	slices.SortStableFunc(d.armed[p.Addr], func(a, b *point) int {
		switch {
		case a.Entry == b.Entry:
			return 0
		case a.Entry:
			return 1
		}
		return -1
	})
	return nil
}

// disarm reverses arm.
func (d *driver) disarm(ctx context.Context, p *point) error {
	if !p.on {
		return nil
	}
	p.on = false
	d.armed[p.Addr] = slices.DeleteFunc(d.armed[p.Addr], func(q *point) bool { return q == p })
	return d.clear(ctx, p.Addr, p.Name)
}

// clear removes a breakpoint that is no longer needed.
func (d *driver) clear(ctx context.Context, addr uint64, name string) error {
	if d.breaks(addr) {
		return nil
	}
	if err := d.Guest.Remove(ctx, addr); err != nil {
		return fmt.Errorf("remove the breakpoint at %s (%s): %w", name, d.where(addr), err)
	}
	return nil
}

// decide returns the points that a stop at p arms and disarms. A point that was seen as
// often as expected is disarmed. Otherwise each later hit of it, such as every task
// that ends, would stop the guest.
func (d *driver) decide(p *point, rd *round) (arm, disarm []*point) {
	off := func(q *point) {
		q.due = 0
		if q.on && !slices.Contains(disarm, q) {
			disarm = append(disarm, q)
		}
	}
	if len(p.Armed) > 0 && p.Until == "" && p.hits().Most > 0 {
		if p.due--; p.due <= 0 {
			off(p)
		}
	}
	over := d.over(rd)
	for _, q := range d.points {
		if q.Missing != "" || q.ReturnOf != "" {
			continue
		}
		if q.Until == p.Name {
			off(q)
			continue
		}
		// A point that must not be hit, or that has no limit, stays armed.
		limited := q.hits().Most > 0
		if over && !q.Entry && len(q.Armed) == 0 && q.Until == "" && limited {
			off(q)
			continue
		}
		if !slices.Contains(q.Armed, p.Name) && (!p.Entry || q.Entry || len(q.Armed) > 0) {
			continue
		}
		if limited {
			q.due += q.hits().Most
		}
		disarm = slices.DeleteFunc(disarm, func(r *point) bool { return r == q })
		if !q.on {
			arm = append(arm, q)
		}
	}
	return arm, disarm
}

// over reports whether all steps of a round were seen.
func (d *driver) over(rd *round) bool {
	return !slices.ContainsFunc(d.points, func(p *point) bool {
		return p.Step && p.Missing == "" && rd.count[p.Name] < p.hits().Least
	})
}

func names(points []*point) []string {
	var out []string
	for _, p := range points {
		out = append(out, p.Name)
	}
	return out
}

// await is a call that stopped the guest and whose return is a point.
type await struct {
	point *point
	round *round
	task  uint64
	addr  uint64 // return address
	sp    uint64 // stack pointer after the return
	call  callStop
}

// callStop has the data of a call for the stop at its return. By then the argument
// registers have been overwritten.
type callStop struct {
	event []trace.Arg
	args  map[string]value
}

// await arms the return address of the call that stopped the guest.
func (d *driver) await(ctx context.Context, p *point, rd *round, s *scope, event trace.Event) error {
	for _, q := range d.points {
		if q.ReturnOf != p.Name {
			continue
		}
		r := d.Arch.Registers
		w := await{point: q, round: rd, task: s.tasks["current"], sp: s.regs[r.SP], call: callStop{event.Args, s.args}}
		if r.Link != "" {
			w.addr = s.regs[r.Link]
		} else {
			// The psABI of x86-64, 3.2.2: the return address is at the top of the stack.
			var err error
			if w.addr, err = d.reader.Uint(ctx, w.sp, 8); err != nil {
				return fmt.Errorf("find where %s returns to: %w", p.Symbol, err)
			}
			w.sp += 8
		}
		if !d.breaks(w.addr) {
			if err := d.Guest.Insert(ctx, w.addr); err != nil {
				return fmt.Errorf("break at the return of %s: %w", p.Symbol, err)
			}
		}
		d.awaits = append(d.awaits, w)
	}
	return nil
}

// returned returns the call that has just returned in the current task, nil if none
// did, as other tasks may also pass this address. If several calls match, the last one
// returned. The others never did: their tasks died, and the current task reuses the
// memory of one of them.
func (d *driver) returned(s *scope, regs map[string]uint64) *await {
	here := func(w await) bool {
		return w.addr == d.at && w.task == s.tasks["current"] && w.sp == regs[d.Arch.Registers.SP]
	}
	var last *await
	for _, w := range d.awaits {
		if here(w) {
			last = &w
		}
	}
	d.awaits = slices.DeleteFunc(d.awaits, here)
	return last
}

// counts reports whether the return of a call is a stop of the lab: whether the point's
// condition is true, in which arg has the arguments of the call.
func (d *driver) counts(ctx context.Context, w *await, s *scope, event trace.Event) (bool, error) {
	here := s.args
	event.Args, s.args = w.call.event, w.call.args
	ok, err := d.holds(ctx, w.point.when, w.point, s, w.round, event)
	s.args = here
	return ok, err
}
