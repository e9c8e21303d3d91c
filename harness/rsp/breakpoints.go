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
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	if c.breakpoints[addr] {
		return nil
	}
	r := c.planting(addr)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	return opError(op, r.payload, okError(r.reply))
}

// Remove takes a breakpoint away. Removing one that is not there does nothing.
func (c *Client) Remove(ctx context.Context, addr uint64) error {
	const op = "remove breakpoint"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	if !c.breakpoints[addr] {
		delete(c.breakpoints, addr)
		return nil
	}
	r := c.removal(addr)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	if err := okError(r.reply); err != nil {
		return opError(op, r.payload, err)
	}
	delete(c.breakpoints, addr)
	return nil
}

// planting is the Z0 request for an address.
func (c *Client) planting(addr uint64) *request {
	r := ask(fmt.Sprintf("Z0,%x,%x", addr, c.target.kind(addr)))
	r.settle = func(reply []byte) {
		if okError(reply) == nil {
			c.breakpoints[addr] = true
		}
	}
	return r
}

// removal is the z0 request for an address. The breakpoint stays known, to be
// planted again.
func (c *Client) removal(addr uint64) *request {
	r := ask(fmt.Sprintf("z0,%x,%x", addr, c.target.kind(addr)))
	r.settle = func(reply []byte) {
		if okError(reply) == nil {
			c.breakpoints[addr] = false
		}
	}
	return r
}

// plantings are the requests that bring the stub's breakpoints in line with
// the client's.
func (c *Client) plantings() []*request {
	var reqs []*request
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		if !c.breakpoints[addr] {
			reqs = append(reqs, c.planting(addr))
		}
	}
	return reqs
}

// removals are the requests that clear the stub's breakpoints.
func (c *Client) removals() []*request {
	var reqs []*request
	for _, addr := range slices.Sorted(maps.Keys(c.breakpoints)) {
		if c.breakpoints[addr] {
			reqs = append(reqs, c.removal(addr))
		}
	}
	return reqs
}
