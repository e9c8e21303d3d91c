package rsp

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Insert sets a software breakpoint at a virtual address, which need not be
// mapped yet. Inserting it again does nothing.
func (c *Client) Insert(ctx context.Context, addr uint64) error {
	const op = "insert breakpoint"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	if c.breakpoints[addr] {
		return nil
	}
	r := c.insertRequest(addr)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	return opError(op, r.payload, okError(r.reply))
}

// Remove removes a breakpoint. Removing one that is not set does nothing.
func (c *Client) Remove(ctx context.Context, addr uint64) error {
	const op = "remove breakpoint"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	if !c.breakpoints[addr] {
		delete(c.breakpoints, addr)
		return nil
	}
	r := c.removeRequest(addr)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	if err := okError(r.reply); err != nil {
		return opError(op, r.payload, err)
	}
	delete(c.breakpoints, addr)
	return nil
}

// Breakpoints returns the addresses of the breakpoints that are set, in order.
func (c *Client) Breakpoints(ctx context.Context) ([]uint64, error) {
	if err := c.acquire(ctx); err != nil {
		return nil, opError("list breakpoints", "", err)
	}
	defer c.release()
	return slices.Sorted(maps.Keys(c.breakpoints)), nil
}

// insertRequest returns the Z0 request for an address.
func (c *Client) insertRequest(addr uint64) *request {
	r := ask(fmt.Sprintf("Z0,%x,%x", addr, c.target.kind(addr)))
	r.onReply = func(reply []byte) {
		if okError(reply) == nil {
			c.breakpoints[addr] = true
		}
	}
	return r
}

// removeRequest returns the z0 request for an address. The client still knows the
// breakpoint and can insert it again.
func (c *Client) removeRequest(addr uint64) *request {
	r := ask(fmt.Sprintf("z0,%x,%x", addr, c.target.kind(addr)))
	r.onReply = func(reply []byte) {
		if okError(reply) == nil {
			c.breakpoints[addr] = false
		}
	}
	return r
}

// insertRequests returns requests that insert the breakpoints which the stub does
// not have at present.
func (c *Client) insertRequests() []*request {
	var reqs []*request
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		if !c.breakpoints[addr] {
			reqs = append(reqs, c.insertRequest(addr))
		}
	}
	return reqs
}

// removeRequests returns requests that remove all of the stub's breakpoints.
func (c *Client) removeRequests() []*request {
	var reqs []*request
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		if c.breakpoints[addr] {
			reqs = append(reqs, c.removeRequest(addr))
		}
	}
	return reqs
}
