package rsp

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// While a debugger is attached, QEMU discards all translated code at each breakpoint
// and step (gdb_vm_state_change in gdbstub) and has to translate it again, which takes
// much longer than the stop itself. In an unattached run the client is detached while
// the guest runs. QEMU then still stops at a breakpoint, but keeps its translated
// code. It does not report the stop to the client, which learns of it from QMP.
//
// D detaches, removes the breakpoints and resumes the guest. But QEMU processes the
// bytes of one write together, holding the lock that a vCPU needs to start, and the
// first byte after an answered D halts the guest before it has run an instruction. So
// the client writes
//
//	$D;1  +  +  $Z0… $Z0… $c
//
// The first + acknowledges D's OK and the second halts the guest. No debugger is
// attached now. Z0 inserts the breakpoints again and c resumes the guest. QMP reports
// two stops: this one and the one that ends the run.

// StopCounter counts the stops of a machine as QEMU reports them over QMP. A *qemu.VM
// is one.
type StopCounter interface {
	// Stops returns the number of stops so far and a channel that is closed at the
	// next one.
	Stops() (uint64, <-chan struct{})
	// Settle returns when Stops counts every stop that has happened.
	Settle(ctx context.Context) error
}

// canRunUnattached reports whether the guest can run unattached. With several vCPUs
// it cannot, because only an attached client learns which vCPU stopped, or with
// watchpoints, which of them was hit.
func (c *Client) canRunUnattached() bool {
	return c.stopCounter != nil && c.threads == 1 && len(c.watchpoints) == 0 && strings.Contains(c.selected, ".")
}

// stopsOfUnattachedRun is the number of stops that QMP reports for an unattached run.
const stopsOfUnattachedRun = 2

// unattachedRequests returns the requests that start an unattached run. It does not
// change the client's record of the stub's state, as ctx may end before anything is
// sent.
func (c *Client) unattachedRequests(ctx context.Context) (reqs []*request, err error) {
	if !c.counted {
		if err := c.stopCounter.Settle(ctx); err != nil {
			return nil, err
		}
		c.counted = true
	}
	before, _ := c.stopCounter.Stops()
	reqs = append(reqs, c.detachRequest())
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		reqs = append(reqs, c.insertRequest(addr))
	}
	resume := c.runRequest("")
	resume.payload = "c"
	resume.starts.unattached = true
	resume.sent = func() {
		c.counted = false // finish sets it again
		go c.awaitHalt(resume.starts, before+stopsOfUnattachedRun)
	}
	return append(reqs, resume), nil
}

// DetachHalted detaches from a halted guest and leaves it halted, in the state that
// QMP's stop command leaves. At a breakpoint QEMU is in RUN_STATE_DEBUG
// (softmmu/runstate.c), which a machine that restores a saved one cannot enter. After
// DetachHalted the client can only be closed.
func (c *Client) DetachHalted(ctx context.Context) error {
	const op = "detach and leave the guest halted"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	if c.stopCounter == nil || !strings.Contains(c.selected, ".") {
		return opError(op, "", ErrUnsupported)
	}
	if err := c.stopCounter.Settle(ctx); err != nil {
		return opError(op, "", err)
	}
	before, again := c.stopCounter.Stops()
	d := c.detachRequest()
	removed := d.onReply
	d.onReply = func(reply []byte) {
		removed(reply)
		c.detached = c.detached || okError(reply) == nil
	}
	if err := c.exchange(ctx, d); err != nil {
		return opError(op, d.payload, err)
	}
	if err := okError(d.reply); err != nil {
		return opError(op, d.payload, err)
	}
	for stops := before; stops == before; stops, again = c.stopCounter.Stops() {
		select {
		case <-again:
		case <-ctx.Done():
			return opError(op, "", ctx.Err())
		case <-c.dead:
			return opError(op, "", c.deadErr())
		}
	}
	return nil
}

// detachRequest returns the request that detaches, removes the breakpoints, and halts
// the guest before it has run an instruction.
func (c *Client) detachRequest() *request {
	process, _, _ := strings.Cut(c.selected, ".")
	d := ask("D;" + strings.TrimPrefix(process, "p"))
	d.after = "++"
	d.onReply = func(reply []byte) {
		if okError(reply) == nil {
			for addr := range c.breakpoints {
				c.breakpoints[addr] = false
			}
		}
	}
	return d
}

// awaitHalt ends an unattached run when the machine has stopped n times in all.
func (c *Client) awaitHalt(r *run, n uint64) {
	for {
		count, again := c.stopCounter.Stops()
		if count >= n {
			break
		}
		select {
		case <-again:
		case <-r.over: // the guest has exited
			return
		case <-c.dead:
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.isOver() {
		r.reply, r.counted = Stop{Signal: SignalTrap}, true
		close(r.over)
	}
}

// attachRequest returns the request that attaches after an unattached run.
func (c *Client) attachRequest() *request {
	process, _, _ := strings.Cut(c.selected, ".")
	r := ask("vAttach;" + strings.TrimPrefix(process, "p"))
	r.asksStop = true
	return r
}
