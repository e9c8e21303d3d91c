package rsp

import "context"

// Relay sends a packet to the stub of a halted guest, and returns the reply as it came.
// It is for what another debugger asks. The packet must not let the guest run, and the
// client does not keep account of breakpoints that it sets: see Go.
func (c *Client) Relay(ctx context.Context, packet string) ([]byte, error) {
	const op = "relay a packet"
	if err := c.acquireHalted(ctx); err != nil {
		return nil, opError(op, packet, err)
	}
	defer c.release()
	c.cached = nil
	r := ask(packet)
	if err := c.exchange(ctx, r); err != nil {
		return nil, opError(op, packet, err)
	}
	return r.reply, nil
}

// Go lets the guest run as the stub's vCont;c does, and nothing else: the client stays
// attached, and a breakpoint at the guest's PC ends the run at once. Wait and Interrupt
// return the stop. Interrupt does not change what the guest does later, nor its time.
func (c *Client) Go(ctx context.Context) error {
	const op = "resume"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	c.counted = false
	r := c.runRequest("")
	return opError(op, r.payload, c.exchange(ctx, r))
}
