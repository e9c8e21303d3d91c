package rsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout limits one exchange. Under TCG an answer takes tens of
// microseconds; the margin is for an overloaded host.
const DefaultTimeout = 10 * time.Second

// Options for New. The zero value is ready to use.
type Options struct {
	// Timeout bounds each exchange with the stub, and each step that Resume
	// and Step make. 0 means DefaultTimeout. The first exchange includes the
	// time that QEMU needs to start. Only its context limits Wait.
	Timeout time.Duration
	// Log receives a line for each packet, in the form that rsptest.Parse
	// reads as a script. nil means no log.
	Log io.Writer
	// StopCounter, when set, lets Resume detach while the guest runs, which makes
	// the guest much faster after a stop: see unattached.go.
	StopCounter StopCounter
}

// A Client is a debugger attached to one QEMU. See the package comment for
// the order of calls and for concurrency.
type Client struct {
	*link

	// turn is a lock: a call that exchanges packets sends to it, and receives at
	// its end. It is a channel because waiting for it must end with ctx. Its
	// holder owns all the fields below.
	turn chan struct{}

	target     Target
	packetSize int
	threads    int    // vCPUs at the time of New
	stopped    string // thread of the last stop
	selected   string // thread of g, p, P and m
	cached     Registers
	// pcs holds the PCs of halted threads, as far as the stub reported them.
	// Resume steps a thread over a breakpoint at its PC.
	pcs map[string]uint64

	// breakpoints has an entry for each inserted breakpoint. It is false while
	// the stub does not have it, such as while a thread is stepped over it.
	breakpoints map[uint64]bool
	// watchpoints are those that the stub has. While there is one, the guest runs
	// attached, as only the stub reports which watchpoint was hit.
	watchpoints map[watchpoint]bool
	detached    bool

	stopCounter StopCounter
	counted     bool // stopCounter has counted every stop of the halted guest
}

// New attaches to the stub at the other end of conn. The client owns conn, and New
// closes it on failure. The guest is halted afterwards, without the breakpoints that
// an earlier client may have left.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{
		link:        newLink(conn, o.Timeout, &packetLog{w: o.Log}),
		turn:        make(chan struct{}, 1),
		pcs:         map[string]uint64{},
		breakpoints: map[uint64]bool{}, watchpoints: map[watchpoint]bool{},
		stopCounter: o.StopCounter,
	}
	if err := c.handshake(ctx); err != nil {
		_ = c.Close()
		return nil, opError("attach", "", err)
	}
	return c, nil
}

// ourFeatures announces the features of this client. Without multiprocess+ a stub
// with several clusters of CPUs would show only one of them.
const ourFeatures = "qSupported:multiprocess+;vContSupported+"

// handshake reads the stub's features, the target description and the state of the
// guest. QEMU 7.2 refuses p and P until the target description has been read. The ?
// packet removes all breakpoints.
func (c *Client) handshake(ctx context.Context) error {
	reply, err := c.ask(ctx, "attach", ourFeatures)
	if err != nil {
		return err
	}
	if err := c.features(string(reply)); err != nil {
		return err
	}
	target, err := parseTarget(func(annex string) ([]byte, error) { return c.annex(ctx, annex) })
	if err != nil {
		return err
	}
	c.target = *target

	halted := &request{payload: "?", asksStop: true}
	if err := c.exchange(ctx, halted); err != nil {
		return opError("attach", "?", err)
	}
	if !isStop(halted.reply) {
		return opError("attach", "?", unexpected(halted.reply))
	}
	stop, err := parseStop(halted.reply)
	if err != nil {
		return opError("attach", "?", err)
	}
	if stop.Exited {
		return opError("attach", "?", errors.New("there is no guest: QEMU is ending"))
	}
	threads, err := c.listThreads(ctx, "attach")
	if err != nil {
		return err
	}
	if stop.Thread == "" && len(threads) > 0 {
		stop.Thread = threads[0]
	}
	c.threads = len(threads)
	c.stopped, c.selected = stop.Thread, stop.Thread
	g, err := c.ask(ctx, "attach", "g")
	if err != nil {
		return err
	}
	c.target.setOffsets(len(g) / 2)
	return c.recordStop(&stop, g)
}

// features reads the reply to qSupported.
func (c *Client) features(reply string) error {
	c.packetSize = 400 // GDB's default
	var description, vCont bool
	for feature := range strings.SplitSeq(reply, ";") {
		key, value, _ := strings.Cut(feature, "=")
		switch key {
		case "PacketSize":
			n, err := strconv.ParseUint(value, 16, 31)
			if err != nil || n < 64 {
				return fmt.Errorf("stub offers PacketSize %q, which is not a hexadecimal number over 64", value)
			}
			c.packetSize = int(n)
		case "qXfer:features:read+":
			description = true
		case "vContSupported+":
			vCont = true
		}
	}
	if !description || !vCont {
		return fmt.Errorf("stub offers %q but needs qXfer:features:read+ and vContSupported+: use QEMU 5.0 or later", clip(reply))
	}
	return nil
}

// annex reads one document of the target description.
func (c *Client) annex(ctx context.Context, name string) ([]byte, error) {
	var text []byte
	for {
		packet := fmt.Sprintf("qXfer:features:read:%s:%x,%x", name, len(text), c.packetSize-5)
		reply, err := c.ask(ctx, "read target description", packet)
		if err != nil {
			return nil, err
		}
		text = append(text, reply[1:]...)
		switch {
		case reply[0] == 'l':
			return text, nil
		case reply[0] != 'm' || len(reply) == 1:
			return nil, opError("read target description", packet, unexpected(reply))
		case len(text) > maxAnnexBytes:
			return nil, opError("read target description", packet, fmt.Errorf("%s is over %d bytes", name, maxAnnexBytes))
		}
	}
}

// Target returns the stub's description of its CPUs. It must not be modified.
func (c *Client) Target() *Target { return &c.target }

// RoundTrips returns how many times the client has written to the stub and waited.
func (c *Client) RoundTrips() uint64 { return c.roundTrips.Load() }

// ask exchanges one packet and returns an error for an empty or Exx reply.
func (c *Client) ask(ctx context.Context, op, packet string) ([]byte, error) {
	r := ask(packet)
	if err := c.exchange(ctx, r); err != nil {
		return nil, opError(op, packet, err)
	}
	if err := replyError(r.reply); err != nil {
		return nil, opError(op, packet, err)
	}
	return r.reply, nil
}

// acquire waits until no other call exchanges packets and no answer to an abandoned
// request is due. release ends the caller's turn.
func (c *Client) acquire(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.deadErr()
	}
	err := c.awaitAbandoned(ctx)
	if err == nil {
		err = c.usable()
	}
	if err != nil {
		c.release()
	}
	return err
}

func (c *Client) release() { <-c.turn }

func (c *Client) usable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.detached:
		return fmt.Errorf("%w: the client has detached", ErrClosed)
	case c.run != nil && c.run.claimed && c.run.reply.Exited:
		return fmt.Errorf("%w: the guest has exited", ErrClosed)
	}
	return nil
}

// acquireHalted is acquire for calls that need a halted guest.
func (c *Client) acquireHalted(ctx context.Context) error {
	if err := c.acquire(ctx); err != nil {
		return err
	}
	if c.running() {
		c.release()
		return ErrRunning
	}
	return nil
}

// running reports whether a stop is still to come or to be returned.
func (c *Client) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run != nil && !c.run.claimed
}

// Detach removes the breakpoints and lets the guest run on, halting it first
// if it runs. After that the client can only be closed.
func (c *Client) Detach(ctx context.Context) error {
	const op = "detach"
	if c.running() {
		if _, err := c.Interrupt(ctx); err != nil && !errors.Is(err, ErrNotRunning) {
			return opError(op, "", err)
		}
	}
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	reqs := c.removeRequests()
	// With multiprocess+ QEMU expects the process, which is the p01 of p01.01.
	d := ask("D")
	if pid, _, found := strings.Cut(c.selected, "."); found {
		d.payload = "D;" + strings.TrimPrefix(pid, "p")
	}
	d.onReply = func(reply []byte) { c.detached = c.detached || okError(reply) == nil }
	reqs = append(reqs, d)
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, d.payload, err)
	}
	// The OK of D is not acknowledged: the guest runs, and any byte would halt it.
	for _, r := range reqs {
		if err := okError(r.reply); err != nil {
			return opError(op, r.payload, err)
		}
	}
	return nil
}

// Close ends the connection. It neither halts nor resumes the guest. Calls that are
// waiting return ErrClosed. Closing again does nothing.
func (c *Client) Close() error {
	c.fail(fmt.Errorf("%w: %w", ErrClosed, net.ErrClosed))
	<-c.ended
	return nil
}
