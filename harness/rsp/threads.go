package rsp

import (
	"context"
	"fmt"
	"strings"
)

// Threads lists the guest's vCPUs by the stub's names, such as p01.01.
func (c *Client) Threads(ctx context.Context) ([]string, error) {
	const op = "list threads"
	if err := c.acquireHalted(ctx); err != nil {
		return nil, opError(op, "", err)
	}
	defer c.release()
	return c.listThreads(ctx, op)
}

// maxThreads limits a list of threads. QEMU's machines have at most 1024 vCPUs.
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

// SelectThread selects the vCPU whose registers and memory are read and written,
// until the next stop.
func (c *Client) SelectThread(ctx context.Context, thread string) error {
	const op = "select thread"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	return c.selectThread(ctx, op, thread)
}

func (c *Client) selectThread(ctx context.Context, op, thread string) error {
	r := c.selectRequest(thread)
	if err := c.exchange(ctx, r); err != nil {
		return opError(op, r.payload, err)
	}
	return opError(op, r.payload, okError(r.reply))
}

// selectRequest returns the Hg request for a thread.
func (c *Client) selectRequest(thread string) *request {
	c.cached = nil
	r := ask("Hg" + thread)
	r.onReply = func(reply []byte) {
		if okError(reply) == nil {
			c.selected = thread
		}
	}
	return r
}

// Stopped returns the vCPU of the last stop.
func (c *Client) Stopped(ctx context.Context) (string, error) {
	const op = "get the stopped thread"
	if err := c.acquireHalted(ctx); err != nil {
		return "", opError(op, "", err)
	}
	defer c.release()
	return c.stopped, nil
}

// SetStopped makes a vCPU the stopped one, as a stop of that vCPU would. After New
// the stub may report another vCPU, if the guest had been stopped by other means.
func (c *Client) SetStopped(ctx context.Context, thread string) error {
	const op = "set the stopped thread"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	return c.readStop(ctx, op, &Stop{Thread: thread})
}
