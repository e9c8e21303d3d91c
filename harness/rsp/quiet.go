package rsp

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// While a debugger is attached, QEMU throws away all code it has translated at
// each breakpoint and step (gdb_vm_state_change in gdbstub), and what the guest
// does next is translated again: a stop costs it many times what it is about. A
// quiet run detaches for as long as the guest runs. QEMU then stops at a
// breakpoint as before, but neither throws anything away nor reports the stop,
// which has to be learned from QMP.
//
// D detaches, removes the breakpoints and lets the guest run, before anything
// more can be said. But QEMU takes what came in one write in one go, holding the
// lock without which no vCPU starts, and the first byte after an answered D halts
// the guest before it has run an instruction. So what is written is
//
//	$D;1  +  +  $Z0… $Z0… $c
//
// where the first + acknowledges D's OK and the second is the byte that halts.
// Nobody is attached then, the breakpoints are put back, and c lets the guest run.
// QMP sees two stops: this one, and the one that the run ends with.

// Halts counts the stops of a machine, told by QEMU over another connection: a
// *qemu.VM.
type Halts interface {
	// Stops returns how many there were, and a channel closed at the next.
	Stops() (uint64, <-chan struct{})
	// Settle returns when Stops counts all that have happened.
	Settle(ctx context.Context) error
}

// quiet reports whether the guest can be run with nobody attached. With several
// vCPUs it can not: who is not attached is not told which one hit.
func (c *Client) quiet() bool {
	return c.halts != nil && c.threads == 1 && strings.Contains(c.selected, ".")
}

// stopsInQuiet is how many stops QMP reports for a quiet run.
const stopsInQuiet = 2

// startQuietly is start, and what goes in front of it, for a quiet run. It changes
// nothing of the client's view of the stub, as ctx may end before anything is sent.
func (c *Client) startQuietly(ctx context.Context) (reqs []*request, err error) {
	if !c.counted {
		if err := c.halts.Settle(ctx); err != nil {
			return nil, err
		}
		c.counted = true
	}
	before, _ := c.halts.Stops()
	reqs = append(reqs, c.detachment())
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		reqs = append(reqs, c.planting(addr))
	}
	resume := c.start("")
	resume.payload = "c"
	resume.starts.quiet = true
	resume.sent = func() {
		c.counted = false // until the run has ended with the stop that awaitHalt waits for
		go c.awaitHalt(resume.starts, before+stopsInQuiet)
	}
	return append(reqs, resume), nil
}

// Park detaches from a halted guest and leaves it halted, as QMP's stop does. One
// that stands at a breakpoint is in a state of QEMU's that the machine which takes
// a saved one in cannot be in (RUN_STATE_DEBUG, softmmu/runstate.c). After Park the
// client can only be closed.
func (c *Client) Park(ctx context.Context) error {
	const op = "park"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	if c.halts == nil || !strings.Contains(c.selected, ".") {
		return opError(op, "", ErrUnsupported)
	}
	if err := c.halts.Settle(ctx); err != nil {
		return opError(op, "", err)
	}
	before, again := c.halts.Stops()
	d := c.detachment()
	removed := d.settle
	d.settle = func(reply []byte) {
		removed(reply)
		c.detached = c.detached || okError(reply) == nil
	}
	if err := c.exchange(ctx, d); err != nil {
		return opError(op, d.payload, err)
	}
	if err := okError(d.reply); err != nil {
		return opError(op, d.payload, err)
	}
	for stops := before; stops == before; stops, again = c.halts.Stops() {
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

// detachment is the request that detaches, removes the breakpoints, and halts the
// guest before it has run an instruction.
func (c *Client) detachment() *request {
	process, _, _ := strings.Cut(c.selected, ".")
	d := ask("D;" + strings.TrimPrefix(process, "p"))
	d.after = "++"
	d.settle = func(reply []byte) {
		if okError(reply) == nil {
			for addr := range c.breakpoints {
				c.breakpoints[addr] = false
			}
		}
	}
	return d
}

// awaitHalt ends a quiet run when the machine has stopped n times.
func (c *Client) awaitHalt(r *run, n uint64) {
	for {
		count, again := c.halts.Stops()
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

// attachment is the request that attaches after a quiet run.
func (c *Client) attachment() *request {
	process, _, _ := strings.Cut(c.selected, ".")
	r := ask("vAttach;" + strings.TrimPrefix(process, "p"))
	r.asksStop = true
	return r
}
