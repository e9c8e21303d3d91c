package rsp

import (
	"context"
	"fmt"
)

// watchpoint is a range of virtual addresses.
type watchpoint struct {
	addr uint64
	size int
}

// Watch sets a watchpoint: the guest stops at each write to one of the size bytes at a
// virtual address, and [Stop.Watch] has the address. Setting it again does nothing.
//
// QEMU compares virtual addresses, in whatever address space they are used, and sees
// only writes by the guest's instructions: neither those to the same memory at another
// address, such as the kernel's direct map, nor those of devices and of a debugger.
func (c *Client) Watch(ctx context.Context, addr uint64, size int) error {
	return c.setWatch(ctx, "insert watchpoint", "Z2", watchpoint{addr, size}, true)
}

// Unwatch removes a watchpoint. Removing one that is not set does nothing.
func (c *Client) Unwatch(ctx context.Context, addr uint64, size int) error {
	return c.setWatch(ctx, "remove watchpoint", "z2", watchpoint{addr, size}, false)
}

func (c *Client) setWatch(ctx context.Context, op, packet string, w watchpoint, on bool) error {
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	if c.watchpoints[w] == on {
		return nil
	}
	r := ask(fmt.Sprintf("%s,%x,%x", packet, w.addr, w.size))
	r.onReply = func(reply []byte) {
		switch {
		case okError(reply) != nil:
		case on:
			c.watchpoints[w] = true
		default:
			delete(c.watchpoints, w)
		}
	}
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	return opError(op, r.payload, okError(r.reply))
}
