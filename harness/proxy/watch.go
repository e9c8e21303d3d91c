package proxy

import (
	"context"
	"errors"
	"slices"
)

// hit is an instruction that met a watchpoint.
type hit struct {
	insn int    // its number in the operation
	pc   uint64 // its address
	nth  int    // how many times the address had been executed by then, this time included
	addr uint64 // what it met
}

// watching returns the watchpoints of points that the operation did not have.
func (o *op) watching(points []Point) []Point {
	return slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return !p.watches() || slices.Contains(o.points, p) })
}

// scan does an operation again with watchpoints, from where the machine is in it, and
// returns what met them up to the instruction number to, or only the first. The machine
// can only be closed then: a stop moves the guest's clock, so what comes after the first
// may come elsewhere than it came before.
func (l *live) scan(ctx context.Context, o *op, to int, points []Point, first bool) (hits []hit, err error) {
	set := append(slices.Clone(o.points), o.watching(points)...)
	if err := l.sync(ctx, set); err != nil {
		return nil, err
	}
	log, err := logInstructions(ctx, l.m.Stub, l.dir, largePipe)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.close(ctx)) }()
	for {
		stop, err := l.run(ctx, func(over <-chan struct{}, _ func()) error { return log.follow(ctx, over, -1) })
		if err != nil {
			return nil, err
		}
		log.pcs = log.executed(stop)
		n := len(log.pcs)
		if n == 0 || watched(points, stop.Watch) == nil || l.at.insn+n > to {
			return hits, nil
		}
		pc, nth := log.pcs[n-1], 0
		for _, earlier := range slices.Concat(o.pcs[:l.at.insn], log.pcs) {
			if earlier == pc {
				nth++
			}
		}
		hits = append(hits, hit{l.at.insn + n - 1, pc, nth, stop.Watch})
		if first {
			return hits, nil
		}
	}
}

// scan is the same for the operation i, from its instruction number from.
func (h *History) scan(ctx context.Context, i, from, to int, points []Point, first bool) ([]hit, error) {
	if err := h.reach(ctx, place{i, from}); err != nil {
		return nil, err
	}
	defer h.drop()
	return h.live.scan(ctx, &h.ops[i], to, points, first)
}

// meets reports whether instruction number k of an operation meets a watchpoint, and the
// address.
func (h *History) meets(ctx context.Context, p place, points []Point) (uint64, bool, error) {
	if err := h.reach(ctx, p); err != nil {
		return 0, false, err
	}
	defer h.drop()
	watches := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return !p.watches() })
	if err := h.live.sync(ctx, watches); err != nil {
		return 0, false, err
	}
	stop, err := h.live.step(ctx, usualStep)
	return stop.Watch, stop.Watch != 0, err
}

// nearby is how many executions of an instruction, before and after the expected one, are
// tried.
const nearby = 4

// lastMet returns the last instruction of operation i, before its instruction number to,
// that met a watchpoint. ok is false if none did.
func (h *History) lastMet(ctx context.Context, i, to int, points []Point) (insn int, addr uint64, ok bool, err error) {
	o := &h.ops[i]
	if !slices.ContainsFunc(points, Point.watches) {
		return 0, 0, false, nil
	}
	switch {
	case o.step:
		addr, ok, err := h.meets(ctx, place{op: i}, points)
		return 0, addr, ok, err
	case len(o.watching(points)) == 0: // it stopped the run, if any did
		ok := watched(points, o.stop.Watch) != nil && to == len(o.pcs)
		return to - 1, o.stop.Watch, ok, nil
	}
	hits, err := h.scan(ctx, i, 0, len(o.pcs), points, false)
	if err != nil {
		return 0, 0, false, err
	}
	for n := len(hits) - 1; n >= 0; n-- {
		all := occurrences(o.pcs, hits[n].pc)
		for _, nth := range outwards(hits[n].nth-1, len(all)) {
			if all[nth] >= to {
				continue
			}
			addr, met, err := h.meets(ctx, place{i, all[nth]}, points)
			if err != nil || met {
				return all[nth], addr, met, err
			}
		}
	}
	return 0, 0, false, nil
}

// occurrences returns where an address is in a list.
func occurrences(pcs []uint64, pc uint64) (at []int) {
	for i, p := range pcs {
		if p == pc {
			at = append(at, i)
		}
	}
	return at
}

// outwards returns the numbers around n that are in 0 to size-1, n first.
func outwards(n, size int) (all []int) {
	for d := 0; d <= nearby; d++ {
		for _, k := range []int{n + d, n - d} {
			if k >= 0 && k < size && !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return all
}

// firstMet returns the place after the first instruction of operation i, from its
// instruction number from on, that met a watchpoint which the operation did not have.
func (h *History) firstMet(ctx context.Context, i, from int, points []Point) (insn int, addr uint64, ok bool, err error) {
	o := &h.ops[i]
	more := o.watching(points)
	if len(more) == 0 || o.step {
		return 0, 0, false, nil
	}
	hits, err := h.scan(ctx, i, from, len(o.pcs), more, true)
	if err != nil || len(hits) == 0 {
		return 0, 0, false, err
	}
	return hits[0].insn + 1, hits[0].addr, true, nil
}
