package rsp

import (
	"context"
	"errors"
)

// maxSteps limits how many times a step that does not move the PC is repeated. A
// jump to itself never moves it.
const maxSteps = 64

// Step runs one thread for one instruction and returns its stop. The other threads
// stay halted. An empty name means the stopped thread.
//
// Stop.Thread is the stepped thread, even if the stub names another.
func (c *Client) Step(ctx context.Context, thread string) (Stop, error) {
	const op = "step"
	if err := c.acquireHalted(ctx); err != nil {
		return Stop{}, opError(op, "", err)
	}
	defer c.release()
	if thread == "" {
		thread = c.stopped
	}
	if _, known := c.pcs[thread]; !known {
		if err := c.readStop(ctx, op, &Stop{Thread: thread}); err != nil {
			return Stop{}, err
		}
	}
	r, err := c.stepOver(ctx, op, thread, true)
	if err != nil {
		return Stop{}, err
	}
	c.claim(r)
	return r.stop, nil
}

// stepOver steps a thread whose PC is known. If there is a breakpoint at its PC,
// stepOver removes it and insertRequests inserts it again. With readPC it reads the
// thread's new PC and repeats a step that did not change it: with several vCPUs
// QEMU may end a step for a debug request of another vCPU.
func (c *Client) stepOver(ctx context.Context, op, thread string, readPC bool) (*run, error) {
	before := c.pcs[thread]
	for tries := 1; ; tries++ {
		r, err := c.stepOnce(ctx, op, thread)
		if err != nil || r.reply.Exited {
			return r, err
		}
		ended := r.reply.Signal == SignalTrap
		if readPC || !ended {
			at := r.reply
			at.Thread = thread
			if err := c.readStop(ctx, op, &at); err != nil {
				return nil, err
			}
			r.stop = at
		}
		c.claim(r)
		if r.stop.PC != before || tries == maxSteps || ended && c.threads == 1 {
			return r, nil
		}
	}
}

func (c *Client) stepOnce(ctx context.Context, op, thread string) (*run, error) {
	var lifted []*request
	if pc := c.pcs[thread]; c.breakpoints[pc] {
		lifted = append(lifted, c.removeRequest(pc))
	}
	step := c.runRequest(thread)
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
	delete(c.pcs, thread)
	for _, l := range lifted {
		if err := okError(l.reply); err != nil {
			return nil, errors.Join(opError(op, l.payload, err), c.finish(ctx, op, r))
		}
	}
	return r, nil
}
