package rsp

import (
	"context"
	"errors"
)

// maxHops bounds how often a step is repeated that does not move the PC. A
// jump to itself never does.
const maxHops = 64

// Step runs one thread for one instruction and returns where it then stands.
// The other threads stay halted. An empty name means the stopped thread.
//
// Stop.Thread is the stepped thread, even if the stub names another.
func (c *Client) Step(ctx context.Context, thread string) (Stop, error) {
	const op = "step"
	if err := c.takeHalted(ctx); err != nil {
		return Stop{}, opError(op, "", err)
	}
	defer c.give()
	if thread == "" {
		thread = c.stopped
	}
	if _, known := c.parked[thread]; !known {
		if err := c.look(ctx, op, &Stop{Thread: thread}); err != nil {
			return Stop{}, err
		}
	}
	r, err := c.hop(ctx, op, thread, true)
	if err != nil {
		return Stop{}, err
	}
	c.claim(r)
	return r.stop, nil
}

// hop steps a thread whose PC is known, off its breakpoint if it stands on
// one, which is then left for plantings to put back. With look it reads where
// the thread is afterwards, and repeats a step that led nowhere: with several
// vCPUs QEMU may end it for a debug request of another.
func (c *Client) hop(ctx context.Context, op, thread string, look bool) (*run, error) {
	before := c.parked[thread]
	for tries := 1; ; tries++ {
		r, err := c.hopOnce(ctx, op, thread)
		if err != nil || r.reply.Exited {
			return r, err
		}
		ended := r.reply.Signal == SignalTrap
		if look || !ended {
			at := r.reply
			at.Thread = thread
			if err := c.look(ctx, op, &at); err != nil {
				return nil, err
			}
			r.stop = at
		}
		c.claim(r)
		if r.stop.PC != before || tries == maxHops || ended && c.threads == 1 {
			return r, nil
		}
	}
}

func (c *Client) hopOnce(ctx context.Context, op, thread string) (*run, error) {
	var lifted []*request
	if pc := c.parked[thread]; c.breakpoints[pc] {
		lifted = append(lifted, c.removal(pc))
	}
	step := c.start(thread)
	c.counted = false
	if err := c.exchange(ctx, append(lifted, step)...); err != nil {
		return nil, opError(op, step.payload, err)
	}
	r := step.starts
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrTimeout)
	defer cancel()
	if err := c.awaitStop(limited, r); err != nil {
		return nil, opError(op, step.payload, err)
	}
	if r.err != nil {
		c.claim(r)
		return nil, opError(op, step.payload, r.err)
	}
	if r.reply.Exited {
		r.stop = r.reply
		return r, nil
	}
	delete(c.parked, thread)
	for _, l := range lifted {
		if err := okError(l.reply); err != nil {
			return nil, errors.Join(opError(op, l.payload, err), c.finish(ctx, op, r))
		}
	}
	return r, nil
}
