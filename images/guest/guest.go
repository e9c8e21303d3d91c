// Package guest is the host's end of the agent that runs inside a guest: it
// reads the guest's serial console, tells the kernel's messages from the
// agent's, and runs programs through the agent.
//
// It is handed the console and knows nothing of what emulates the machine. The
// protocol is package wire's; the agent is the command in agent.
//
// The guest may be stopped by a debugger at any moment and for any time. All
// limits here are therefore the caller's contexts, and the agent measures its
// own by the guest's clock, which stands still with it.
package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"kernellab/images/guest/wire"
)

// ErrClosed is returned once the console has ended or the agent was closed.
var ErrClosed = errors.New("guest console closed")

// Options are the settings of [Attach] and [Await].
type Options struct {
	// Log is handed all console text, frames taken out. It must not block
	// for long: an undrained console blocks the guest.
	Log io.Writer
	// Resumed says that the guest comes from a snapshot taken when [Await]
	// had returned: its agent is waiting already, so there is no need to
	// wait for it to say so.
	Resumed bool
}

// Agent is a session with a guest's agent. Its methods may be called by any
// number of goroutines.
type Agent struct {
	console io.ReadWriter
	link    *wire.Link
	watch   *watcher
	hello   chan struct{}

	mu     sync.Mutex
	greet  bool
	nextID uint64
	calls  map[uint64]*call
}

// call is a request that is waiting for its replies.
type call struct {
	id      uint64
	replies []reply
	more    chan struct{} // holds a token when a reply has come
}

func newCall() *call { return &call{more: make(chan struct{}, 1)} }

type reply struct {
	wire.Reply
	blob []byte
}

// Attach waits for the agent of a booting guest and opens a session with it.
// It returns a [*PanicError] when the kernel dies meanwhile. On error the
// console is closed as [Agent.Close] does.
func Attach(ctx context.Context, console io.ReadWriter, o Options) (*Agent, error) {
	a, err := Await(ctx, console, o)
	if err != nil {
		return nil, err
	}
	if err := a.Pair(ctx); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Await starts to read the console and returns once the agent says that it is
// ready for a session. No secret has been exchanged by then, so a snapshot
// taken now serves any number of sessions: [Agent.Pair] opens one.
func Await(ctx context.Context, console io.ReadWriter, o Options) (*Agent, error) {
	a := attach(console, o, nil, map[uint64]*call{})
	if o.Resumed {
		return a, nil
	}
	if err := a.until(ctx, a.hello); err != nil {
		a.Close()
		return nil, fmt.Errorf("wait for the agent: %w", err)
	}
	return a, nil
}

// attach starts to read the console. calls are those that wait for replies.
func attach(console io.ReadWriter, o Options, s *wire.Session, calls map[uint64]*call) *Agent {
	a := &Agent{
		console: console,
		watch:   newWatcher(o.Log),
		hello:   make(chan struct{}),
		calls:   calls,
	}
	a.link = wire.NewLink(console, wire.Config{
		Side:    wire.Host,
		Text:    a.watch.write,
		Deliver: a.deliver,
		Hello:   a.helloSeen,
		Session: s,
	})
	go func() { // the watcher learns of the end after the last text
		<-a.link.Done()
		a.watch.end()
	}()
	return a
}

// Pair opens a session with a key of its own. A guest has one session: after
// it, only a snapshot from before can have another.
func (a *Agent) Pair(ctx context.Context) error {
	var key wire.Key
	rand.Read(key[:])
	ctx, cancel := a.bound(ctx)
	defer cancel()
	return a.cause(ctx, a.link.Pair(ctx, key))
}

// Ping makes a round trip through the agent.
func (a *Agent) Ping(ctx context.Context) error {
	_, err := a.do(ctx, wire.Request{Op: wire.OpPing}, nil)
	return wrap("ping the agent", err)
}

// ReadFile returns the content of a file of the guest, read as root.
func (a *Agent) ReadFile(ctx context.Context, path string) ([]byte, error) {
	var b []byte
	_, err := a.do(ctx, wire.Request{Op: wire.OpRead, Path: path}, func(piece []byte) { b = append(b, piece...) })
	if err != nil {
		return nil, fmt.Errorf("read %s in the guest: %w", path, err)
	}
	return b, nil
}

// Landing returns the physical addresses of the pages, of [PageSize] bytes, that a
// program can be written to while a copy of the guest stands still, in order; see
// Program.Landed. There are none where the kernel does not tell.
func (a *Agent) Landing(ctx context.Context) ([]uint64, error) {
	text, err := a.ReadFile(ctx, wire.LandingMap)
	var refused *AgentError
	if errors.As(err, &refused) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pages []uint64
	for line := range strings.Lines(string(text)) {
		addr, err := strconv.ParseUint(strings.TrimSpace(line), 0, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", wire.LandingMap, err)
		}
		pages = append(pages, addr)
	}
	return pages, nil
}

// PageSize is that of the guest's kernel.
const PageSize = 4096

// Put makes an executable file in the guest of the first bytes of its parcel, the
// memory of a device that the host filled before the machine started: program is
// what the host put there. An emulated serial line would take seconds.
func (a *Agent) Put(ctx context.Context, path string, program []byte) error {
	_, err := a.do(ctx, wire.Request{Op: wire.OpPut, Path: path, Size: len(program), Sum: wire.Sum(program)}, nil)
	return wrap("put "+path, err)
}

// Panicked is closed when the kernel reported on the console that it is broken.
func (a *Agent) Panicked() <-chan struct{} { return a.watch.panicked }

// Done is closed when the console has ended, or the kernel is broken.
func (a *Agent) Done() <-chan struct{} { return a.watch.done }

// Err returns why the session is over: a [*PanicError], an error that is
// [ErrClosed], or nil while it is not.
func (a *Agent) Err() error {
	select {
	case <-a.watch.done:
	default:
		return nil
	}
	if p := a.watch.panic(); p != nil {
		return p
	}
	if err := a.link.Err(); err != nil && !errors.Is(err, wire.ErrClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return ErrClosed
}

// Tail returns the last n lines of console text, oldest first.
func (a *Agent) Tail(n int) []string { return a.watch.last(n) }

// Close ends the session and closes the console if it can be closed, which
// ends the goroutine that reads it. Whatever waits returns [ErrClosed].
func (a *Agent) Close() error {
	a.link.Close()
	<-a.watch.done
	c, ok := a.console.(io.Closer)
	if !ok {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.console == nil {
		return nil
	}
	a.console = nil
	return c.Close()
}

func (a *Agent) helloSeen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.greet {
		a.greet = true
		close(a.hello)
	}
}

// deliver takes a message off the link's reading goroutine and never blocks.
func (a *Agent) deliver(msg []byte) {
	var r reply
	blob, err := wire.Split(msg, &r.Reply)
	if err != nil {
		return // sealed with our key, so the agent's fault; its caller's context ends the wait
	}
	if r.Flate {
		if blob, err = wire.Unpack(blob); err != nil {
			return
		}
	}
	r.blob = blob
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.calls[r.ID]
	if c == nil {
		return // nobody waits any more
	}
	c.replies = append(c.replies, r)
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// do sends a request and waits for the reply that ends it.
func (a *Agent) do(ctx context.Context, r wire.Request, piece func([]byte)) (reply, error) {
	c, err := a.send(ctx, r)
	if err != nil {
		return reply{}, err
	}
	defer a.forget(c)
	for {
		r, err := a.next(ctx, c)
		if err != nil || !r.More {
			return r, err
		}
		if piece != nil {
			piece(r.blob)
		}
	}
}

// send sends a request, whose replies next returns until forget is called.
func (a *Agent) send(ctx context.Context, r wire.Request) (*call, error) {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	c := newCall()
	a.mu.Lock()
	a.nextID++
	r.ID, c.id = a.nextID, a.nextID
	a.calls[c.id] = c
	a.mu.Unlock()
	if err := a.cause(ctx, a.link.Send(ctx, wire.Join(&r, nil))); err != nil {
		a.forget(c)
		return nil, err
	}
	return c, nil
}

// next returns the next reply to a request. A refusal is an [*AgentError].
func (a *Agent) next(ctx context.Context, c *call) (reply, error) {
	ctx, cancel := a.bound(ctx)
	defer cancel()
	for {
		a.mu.Lock()
		if len(c.replies) > 0 {
			r := c.replies[0]
			c.replies = c.replies[1:]
			a.mu.Unlock()
			if r.Error != "" {
				return reply{}, &AgentError{Text: r.Error}
			}
			return r, nil
		}
		a.mu.Unlock()
		select {
		case <-c.more:
		case <-ctx.Done():
			return reply{}, a.cause(ctx, ctx.Err())
		}
	}
}

func (a *Agent) forget(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.calls, c.id)
}

// bound returns a context that also ends with the session.
func (a *Agent) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	go func() {
		select {
		case <-a.watch.done:
			cancel(a.Err())
		case <-stop:
		}
	}()
	var once sync.Once
	return ctx, func() {
		once.Do(func() { close(stop) })
		cancel(nil)
	}
}

// cause returns what ended a wait: the session's end rather than the
// cancellation that it led to.
func (a *Agent) cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, wire.ErrClosed) {
		<-a.watch.done
	}
	if e := a.Err(); e != nil {
		return e
	}
	if e := context.Cause(ctx); e != nil {
		return e
	}
	return err
}

// until waits for c.
func (a *Agent) until(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-a.watch.done:
		return a.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// AgentError is the agent's refusal of a request.
type AgentError struct {
	Text string
}

func (e *AgentError) Error() string { return "the agent answered: " + e.Text }

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}
