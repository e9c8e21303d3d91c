package rsp

import (
	"context"
	"fmt"
	"strings"
)

// Threads lists the guest's vCPUs by the stub's names, such as p01.01.
func (c *Client) Threads(ctx context.Context) ([]string, error) {
	const op = "list threads"
	if err := c.takeHalted(ctx); err != nil {
		return nil, opError(op, "", err)
	}
	defer c.give()
	return c.listThreads(ctx, op)
}

// QEMU lists one thread a reply, and at most 1024 vCPUs exist on its machines.
const maxThreads = 4096

func (c *Client) listThreads(ctx context.Context, op string) ([]string, error) {
	var threads []string
	for packet := "qfThreadInfo"; ; packet = "qsThreadInfo" {
		reply, err := c.ask(ctx, op, packet)
		if err != nil {
			return nil, err
		}
		switch {
		case string(reply) == "l" && len(threads) > 0:
			return threads, nil
		case reply[0] != 'm' || len(reply) == 1:
			return nil, opError(op, packet, unexpected(reply))
		case len(threads) > maxThreads:
			return nil, opError(op, packet, fmt.Errorf("more than %d threads", maxThreads))
		}
		threads = append(threads, strings.Split(string(reply[1:]), ",")...)
	}
}

// SelectThread makes registers and memory those of another vCPU, until the
// next stop.
func (c *Client) SelectThread(ctx context.Context, thread string) error {
	const op = "select thread"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	return c.selectThread(ctx, op, thread)
}

func (c *Client) selectThread(ctx context.Context, op, thread string) error {
	r := c.selection(thread)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	return opError(op, r.payload, okError(r.reply))
}

// selection is the Hg request for a thread. Until its reply is known no
// thread counts as selected.
func (c *Client) selection(thread string) *request {
	c.cached = nil
	r := ask("Hg" + thread)
	r.settle = func(reply []byte) {
		if okError(reply) == nil {
			c.selected = thread
		}
	}
	return r
}

// Stopped returns the vCPU of the last stop.
func (c *Client) Stopped(ctx context.Context) (string, error) {
	const op = "name the stopped thread"
	if err := c.takeHalted(ctx); err != nil {
		return "", opError(op, "", err)
	}
	defer c.give()
	return c.stopped, nil
}

// Stand makes a vCPU the stopped one, as a stop of it would. A stub that is attached to
// names another when the guest was stopped before, by somebody else.
func (c *Client) Stand(ctx context.Context, thread string) error {
	const op = "take the stopped thread"
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	return c.look(ctx, op, &Stop{Thread: thread})
}
