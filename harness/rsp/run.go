package rsp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Resume lets the guest run and returns as soon as it does. Threads that were
// reported to stand on a breakpoint are stepped over it first, each with the
// breakpoint removed and the other threads halted: QEMU would report it again
// at once.
//
// An instruction that repeats itself (rep movs) or faults comes back to its
// breakpoint and is reported again. So is one in x86 code whose segments are
// not flat, where the PC is not the address that a breakpoint has.
//
// If ctx ends while a thread is being stepped, the guest counts as running:
// Wait returns the stop that ends the step, and the next Resume puts the
// breakpoint back.
func (c *Client) Resume(ctx context.Context) error {
	const op = "resume"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	for _, thread := range slices.Sorted(maps.Keys(c.parked)) {
		if !c.breakpoints[c.parked[thread]] {
			continue
		}
		r, err := c.hop(ctx, op, thread, c.threads > 1)
		if err != nil {
			return err
		}
		if r.reply.Exited {
			return nil // for Wait to tell
		}
	}
	reqs, err := c.resumption(ctx)
	if err != nil {
		return opError(op, "", err)
	}
	before, resume := reqs[:len(reqs)-1], reqs[len(reqs)-1]
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, resume.payload, err)
	}
	for _, r := range before {
		if err := okError(r.reply); err != nil {
			// Running without a breakpoint would miss what the caller
			// waits for.
			err = opError(op, r.payload, fmt.Errorf("put a breakpoint back: %w", err))
			return errors.Join(err, c.halt(ctx, resume.starts))
		}
	}
	return nil
}

// resumption are the requests that let the guest run, the last of which does.
func (c *Client) resumption(ctx context.Context) ([]*request, error) {
	if c.quiet() {
		return c.startQuietly(ctx)
	}
	c.counted = false
	return append(c.plantings(), c.start("")), nil
}

// Wait returns the next stop of a running guest. It is bounded by ctx alone,
// and after ctx has ended a later Wait returns the same stop.
func (c *Client) Wait(ctx context.Context) (Stop, error) {
	const op = "wait"
	r, err := c.pending(ctx)
	if err != nil {
		return Stop{}, opError(op, "", err)
	}
	return c.stop(ctx, op, r)
}

// Interrupt halts a running guest and returns the stop. A stop that is already
// on its way is returned as it is, so Signal need not be SignalInterrupt.
func (c *Client) Interrupt(ctx context.Context) (Stop, error) {
	const op = "interrupt"
	r, err := c.pending(ctx)
	if err != nil {
		return Stop{}, opError(op, "", err)
	}
	if !r.isOver() {
		if err := c.sendInterrupt(ctx, r); err != nil {
			return Stop{}, opError(op, "", err)
		}
	}
	return c.stop(ctx, op, r)
}

// sendInterrupt waits for its turn, so that the byte neither falls into
// another packet nor halts the guest before its vCont has been taken.
func (c *Client) sendInterrupt(ctx context.Context, r *run) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if r.isOver() {
		return nil
	}
	c.log.sent(string(rune(interrupt)))
	c.turns.Add(1)
	if n, err := c.write(ctx, []byte{interrupt}); err != nil {
		if n == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return c.writeFailed(n, 1, err)
	}
	return nil
}

// pending returns the run whose stop is still to be returned. It takes a turn,
// lest it be one of the steps inside a Resume.
func (c *Client) pending(ctx context.Context) (*run, error) {
	err := c.take(ctx)
	if err == nil {
		defer c.give()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r := c.run; {
	case r == nil || r.claimed:
		return nil, cmp.Or(err, ErrNotRunning)
	case err != nil && !r.isOver():
		return nil, err
	default:
		// Even if the link has failed since: the guest may have exited.
		return r, nil
	}
}

// start is the request that lets a thread make a step or, without one, lets
// the whole guest run.
func (c *Client) start(thread string) *request {
	c.cached = nil
	r := ask("vCont;c")
	if thread != "" {
		r.payload = "vCont;s:" + thread
	}
	r.starts = &run{thread: thread, over: make(chan struct{})}
	return r
}

// halt stops a run that should not have begun.
func (c *Client) halt(ctx context.Context, r *run) error {
	c.log.sent(string(rune(interrupt)))
	if n, err := c.write(ctx, []byte{interrupt}); err != nil {
		return c.writeFailed(n, 1, err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
	defer cancel()
	if err := c.awaitStop(limited, r); err != nil {
		return err
	}
	return c.finish(ctx, "interrupt", r)
}

// awaitStop waits until the run is over.
func (c *Client) awaitStop(ctx context.Context, r *run) error {
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), ErrTimeout) {
			return ErrTimeout
		}
		return ctx.Err()
	case <-c.dead:
		// The stop may have been the last thing to come.
		if r.isOver() {
			return nil
		}
		return c.deadErr()
	}
}

// stop waits for the end of a run and returns it complete.
func (c *Client) stop(ctx context.Context, op string, r *run) (Stop, error) {
	if err := c.awaitStop(ctx, r); err != nil {
		return Stop{}, opError(op, "", err)
	}
	if r.err != nil {
		c.claim(r)
		return Stop{}, opError(op, "", fmt.Errorf("the stub did not resume the guest: %w", r.err))
	}
	if r.reply.Exited {
		c.claim(r)
		return r.reply, nil
	}
	if err := c.take(ctx); err != nil {
		return Stop{}, opError(op, "", err)
	}
	defer c.give()
	if err := c.finish(ctx, op, r); err != nil {
		return Stop{}, err
	}
	return r.stop, nil
}

// finish completes a stop with what has to be asked for, once.
func (c *Client) finish(ctx context.Context, op string, r *run) error {
	c.mu.Lock()
	claimed := r.claimed
	c.mu.Unlock()
	if claimed {
		return nil
	}
	at := r.reply
	if r.thread == "" {
		clear(c.parked)
	} else {
		delete(c.parked, r.thread)
	}
	var attach []*request
	if r.quiet {
		attach = append(attach, c.attachment())
	}
	if err := c.look(ctx, op, &at, attach...); err != nil {
		return err
	}
	for _, r := range attach {
		if !isStop(r.reply) {
			return opError(op, r.payload, unexpected(r.reply))
		}
	}
	r.stop = at
	c.counted = r.counted
	c.claim(r)
	return nil
}

func (c *Client) claim(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.claimed = true
}

// look reads the registers of the stop's thread. A stop may make QEMU select
// another thread by itself, so with several the client always says which one
// it means. The requests in front go out with its own.
func (c *Client) look(ctx context.Context, op string, at *Stop, front ...*request) error {
	if at.Thread == "" {
		at.Thread = c.selected
	}
	reqs := c.plantings()
	if c.threads > 1 || at.Thread != c.selected {
		reqs = append(reqs, c.selection(at.Thread))
	}
	g := ask("g")
	if err := c.exchange(ctx, slices.Concat(front, reqs, []*request{g})...); err != nil {
		return opError(op, g.payload, err)
	}
	for _, r := range reqs {
		if err := okError(r.reply); err != nil {
			return opError(op, r.payload, err)
		}
	}
	if err := replyError(g.reply); err != nil {
		return opError(op, g.payload, err)
	}
	return opError(op, g.payload, c.arrive(at, g.reply))
}

// arrive takes note of where a thread stands.
func (c *Client) arrive(at *Stop, g []byte) error {
	regs, err := c.target.decode(g)
	if err != nil {
		return err
	}
	pc, ok := regs[c.target.PC().Name]
	if !ok {
		return fmt.Errorf("the stub's registers are without %s", c.target.PC().Name)
	}
	at.PC = pc
	c.cached, c.stopped = regs, at.Thread
	c.parked[at.Thread] = pc
	return nil
}
