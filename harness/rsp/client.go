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

// DefaultTimeout is how long one exchange may take. Under TCG an answer takes
// tens of microseconds; the margin is for a starved host.
const DefaultTimeout = 10 * time.Second

// Options for New. The zero value is ready to use.
type Options struct {
	// Timeout bounds each exchange with the stub, and each step that Resume
	// and Step make. 0 means DefaultTimeout. The first exchange includes what
	// QEMU still needs to start. Wait is bounded by its context alone.
	Timeout time.Duration
	// Log receives a line for each packet, in the form that rsptest.Parse
	// reads back as a script. nil means no log.
	Log io.Writer
	// Halts, when set, lets Resume run the guest in a way that is much faster
	// for what comes after a stop: see quiet.go.
	Halts Halts
}

// A Client is a debugger attached to one QEMU. See the package comment for
// what may be called when, and from where.
type Client struct {
	*link

	// turn is taken (sent to) for the length of a call that exchanges
	// packets. A channel, because waiting for it must end with ctx. All the
	// fields below belong to whoever holds it.
	turn chan struct{}

	target     Target
	packetSize int
	threads    int    // vCPUs at the time of New
	stopped    string // thread of the last stop
	selected   string // thread of g, p, P and m
	cached     Registers
	// parked holds where halted threads stand, as far as it was reported.
	// Resume steps them over a breakpoint there.
	parked map[string]uint64

	// breakpoints has an entry for each that was inserted. It is false while
	// the stub does not have it, because a thread is being stepped over it.
	breakpoints map[uint64]bool
	detached    bool

	halts   Halts
	counted bool // halts has counted every stop of the halted guest
}

// New attaches to the stub at the other end of conn, which it takes over and
// closes on failure. The guest is left halted, and without the breakpoints
// that an earlier client may have left.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{
		link:        newLink(conn, o.Timeout, &packetLog{w: o.Log}),
		turn:        make(chan struct{}, 1),
		parked:      map[string]uint64{},
		breakpoints: map[uint64]bool{},
		halts:       o.Halts,
	}
	if err := c.handshake(ctx); err != nil {
		_ = c.Close()
		return nil, opError("attach", "", err)
	}
	return c, nil
}

// The features that this client has. Without multiprocess+ a stub with
// several clusters of CPUs would show only one of them.
const ourFeatures = "qSupported:multiprocess+;vContSupported+"

// handshake learns what the stub can do and where the guest stands. QEMU 7.2
// refuses p and P until the target description has been read. The ? comes
// before anything is armed, for it removes breakpoints.
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
	c.target.place(len(g) / 2)
	return c.arrive(&stop, g)
}

// features reads the reply to qSupported.
func (c *Client) features(reply string) error {
	c.packetSize = 400 // what GDB takes for granted
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

// Target returns what the stub says of its CPUs. It must not be modified.
func (c *Client) Target() *Target { return &c.target }

// RoundTrips returns how often the client has written to the stub and waited.
func (c *Client) RoundTrips() uint64 { return c.turns.Load() }

// ask is the exchange of one packet whose empty and Exx replies are errors.
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

// take waits for the caller's turn; give ends it.
func (c *Client) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.dead:
		return c.deadErr()
	}
	err := c.late(ctx)
	if err == nil {
		err = c.usable()
	}
	if err != nil {
		c.give()
	}
	return err
}

func (c *Client) give() { <-c.turn }

func (c *Client) usable() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.detached:
		return fmt.Errorf("%w: detached, and the guest runs on", ErrClosed)
	case c.run != nil && c.run.claimed && c.run.reply.Exited:
		return fmt.Errorf("%w: the guest has exited", ErrClosed)
	}
	return nil
}

// takeHalted is take for what needs a halted guest.
func (c *Client) takeHalted(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	if c.running() {
		c.give()
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
	if err := c.takeHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.give()
	reqs := c.removals()
	// With multiprocess QEMU wants the process, which is the p01 of p01.01.
	d := ask("D")
	if pid, _, found := strings.Cut(c.selected, "."); found {
		d.payload = "D;" + strings.TrimPrefix(pid, "p")
	}
	d.settle = func(reply []byte) { c.detached = c.detached || okError(reply) == nil }
	reqs = append(reqs, d)
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, d.payload, err)
	}
	// The OK of D is left without its +: the guest runs, and a byte too many
	// would halt it.
	for _, r := range reqs {
		if err := okError(r.reply); err != nil {
			return opError(op, r.payload, err)
		}
	}
	return nil
}

// Close ends the connection. The guest stays as it is: halted, unless it runs
// or Detach was called. Calls that are waiting return ErrClosed. Closing again
// does nothing.
func (c *Client) Close() error {
	c.fail(fmt.Errorf("%w: %w", ErrClosed, net.ErrClosed))
	<-c.ended
	return nil
}
