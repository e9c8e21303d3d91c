package rsp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Resume lets the guest run and returns as soon as it does. It first steps each
// thread that was reported at a breakpoint over it, with the breakpoint removed and
// the other threads halted, because QEMU would report the breakpoint again at once.
//
// An instruction that repeats itself (rep movs) or faults returns to its
// breakpoint, which is reported again. So is a breakpoint in x86 code whose segments
// are not flat, because the PC differs from the breakpoint's address there.
//
// If ctx ends while a thread is being stepped, the guest counts as running:
// Wait returns the stop that ends the step, and the next Resume inserts the
// breakpoint again.
func (c *Client) Resume(ctx context.Context) error {
	const op = "resume"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	for _, thread := range slices.Sorted(maps.Keys(c.pcs)) {
		if !c.breakpoints[c.pcs[thread]] {
			continue
		}
		r, err := c.stepOver(ctx, op, thread, c.threads > 1)
		if err != nil {
			return err
		}
		if r.reply.Watch != 0 {
			c.unclaim(r)
		}
		if r.reply.Exited || r.reply.Watch != 0 {
			return nil // Wait returns this stop
		}
	}
	reqs, err := c.resumeRequests(ctx)
	if err != nil {
		return opError(op, "", err)
	}
	before, resume := reqs[:len(reqs)-1], reqs[len(reqs)-1]
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, resume.payload, err)
	}
	for _, r := range before {
		if err := okError(r.reply); err != nil {
			// Without its breakpoint the guest would not stop where the caller
			// expects it.
			err = opError(op, r.payload, fmt.Errorf("insert a breakpoint again: %w", err))
			return errors.Join(err, c.halt(ctx, resume.starts))
		}
	}
	return nil
}

// resumeRequests returns the requests that resume the guest. The last one starts
// the run.
func (c *Client) resumeRequests(ctx context.Context) ([]*request, error) {
	if c.canRunUnattached() {
		return c.unattachedRequests(ctx)
	}
	c.counted = false
	return append(c.insertRequests(), c.runRequest("")), nil
}

// Wait returns the next stop of a running guest. Only ctx limits it; after ctx has
// ended, another Wait returns the same stop.
func (c *Client) Wait(ctx context.Context) (Stop, error) {
	const op = "wait"
	r, err := c.pending(ctx)
	if err != nil {
		return Stop{}, opError(op, "", err)
	}
	return c.stop(ctx, op, r)
}

// Interrupt halts a running guest and returns the stop. If the guest stops before
// the interrupt, it returns that stop, so Signal need not be SignalInterrupt.
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

// sendInterrupt acquires c, so that the byte is neither sent inside a packet nor
// halts the guest before its vCont has been acknowledged.
func (c *Client) sendInterrupt(ctx context.Context, r *run) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	defer c.release()
	if r.isOver() {
		return nil
	}
	c.log.sent(string(rune(interrupt)))
	c.roundTrips.Add(1)
	if n, err := c.write(ctx, []byte{interrupt}); err != nil {
		if n == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return c.writeFailed(n, 1, err)
	}
	return nil
}

// pending returns the run whose stop has not been returned yet. It acquires c, so
// that the run is not one of the steps inside a Resume.
func (c *Client) pending(ctx context.Context) (*run, error) {
	err := c.acquire(ctx)
	if err == nil {
		defer c.release()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r := c.run; {
	case r == nil || r.claimed:
		return nil, cmp.Or(err, ErrNotRunning)
	case err != nil && !r.isOver():
		return nil, err
	default:
		// The run is over even if the link has failed: the guest may have exited.
		return r, nil
	}
}

// runRequest returns the request that steps a thread or, if thread is empty,
// resumes the whole guest.
func (c *Client) runRequest(thread string) *request {
	c.cached = nil
	r := ask("vCont;c")
	if thread != "" {
		r.payload = "vCont;s:" + thread
	}
	r.starts = &run{thread: thread, over: make(chan struct{})}
	return r
}

// halt stops a run that has begun without all of its breakpoints.
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
		// The stop may have arrived before the link died.
		if r.isOver() {
			return nil
		}
		return c.deadErr()
	}
}

// stop waits for the end of a run and returns the complete stop.
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
	if err := c.acquire(ctx); err != nil {
		return Stop{}, opError(op, "", err)
	}
	defer c.release()
	if err := c.finish(ctx, op, r); err != nil {
		return Stop{}, err
	}
	return r.stop, nil
}

// finish completes the stop of a run, unless that is done: it attaches again after
// an unattached run and reads the thread's registers.
func (c *Client) finish(ctx context.Context, op string, r *run) error {
	c.mu.Lock()
	claimed := r.claimed
	c.mu.Unlock()
	if claimed {
		return nil
	}
	at := r.reply
	if r.thread == "" {
		clear(c.pcs)
	} else {
		delete(c.pcs, r.thread)
	}
	var attach []*request
	if r.unattached {
		attach = append(attach, c.attachRequest())
	}
	if err := c.readStop(ctx, op, &at, attach...); err != nil {
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

func (c *Client) unclaim(r *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.claimed = false
}

// readStop reads the registers of the stop's thread and sets its PC. QEMU may select
// another thread at a stop, so with several threads the client always selects one.
// The requests in before are sent first, in the same write.
func (c *Client) readStop(ctx context.Context, op string, at *Stop, before ...*request) error {
	if at.Thread == "" {
		at.Thread = c.selected
	}
	reqs := c.insertRequests()
	if c.threads > 1 || at.Thread != c.selected {
		reqs = append(reqs, c.selectRequest(at.Thread))
	}
	g := ask("g")
	if err := c.exchange(ctx, slices.Concat(before, reqs, []*request{g})...); err != nil {
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
	return opError(op, g.payload, c.recordStop(at, g.reply))
}

// recordStop records the registers of a stopped thread, a g reply.
func (c *Client) recordStop(at *Stop, g []byte) error {
	regs, err := c.target.decode(g)
	if err != nil {
		return err
	}
	pc, ok := regs[c.target.PC().Name]
	if !ok {
		return fmt.Errorf("the stub's registers lack %s", c.target.PC().Name)
	}
	at.PC = pc
	c.cached, c.stopped = regs, at.Thread
	c.pcs[at.Thread] = pc
	return nil
}
