package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// maxMessage bounds a message put together from frames.
const maxMessage = 8 << 20

// ErrClosed is returned once the line has ended or the link was closed.
var ErrClosed = errors.New("line closed")

// ErrNoAnswer is returned by a link with a bounded number of tries whose peer
// acknowledged none of them.
var ErrNoAnswer = errors.New("no acknowledgement")

// Config is what a link is made from.
type Config struct {
	Side Side
	// Text is handed what is not a frame, from the goroutine that reads.
	Text func([]byte)
	// Deliver is handed each message once, in order, from the goroutine that
	// reads: while it blocks, the line is not drained.
	Deliver func(msg []byte)
	// Hello, on the host's side, is called for each hello of the guest.
	Hello func()
	// Retry is the time before the first retransmission, 500 ms when zero.
	// It doubles up to RetryMax, 8 s when zero.
	Retry, RetryMax time.Duration
	// Tries bounds the transmissions of a frame. Zero means that only the
	// context does: right for a host, whose clock runs on while the guest is
	// stopped.
	Tries int
	// Session is one to go on with, nil to begin by pairing.
	Session *Session
}

// Session is the state of a link between two messages.
type Session struct {
	Key            Key
	Sent, Received uint32 // numbers of the last frames
}

// Link carries messages over a line that loses and damages frames, with one
// frame in flight each way, acknowledged and sent again until it is. Any number
// of goroutines may send; one goroutine reads the line and one writes it.
type Link struct {
	c  Config
	rw io.ReadWriter

	frames chan []byte   // sealed, for the writer
	ackDue chan struct{} // the writer owes an acknowledgement
	sem    chan struct{} // held by the sender of a message

	done chan struct{} // closed with err set

	mu     sync.Mutex
	err    error
	key    Key
	paired chan struct{} // closed once both ends hold key
	isPair bool
	seq    uint32 // last data frame sent
	acked  chan struct{}
	last   uint32 // last data frame received
	msg    []byte
	inMsg  bool
}

// NewLink starts to read and write rw. The link never closes rw; its reading
// goroutine ends when rw's Read fails.
func NewLink(rw io.ReadWriter, c Config) *Link {
	if c.Retry == 0 {
		c.Retry = 500 * time.Millisecond
	}
	if c.RetryMax == 0 {
		c.RetryMax = 8 * time.Second
	}
	l := &Link{
		c:      c,
		rw:     rw,
		frames: make(chan []byte),
		ackDue: make(chan struct{}, 1),
		sem:    make(chan struct{}, 1),
		done:   make(chan struct{}),
		paired: make(chan struct{}),
	}
	if s := c.Session; s != nil {
		l.key, l.seq, l.last = s.Key, s.Sent, s.Received
		l.setPaired()
	}
	go l.read()
	go l.write()
	return l
}

// Session returns the link's state, which is one to go on with while no message
// is on its way.
func (l *Link) Session() Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Session{Key: l.key, Sent: l.seq, Received: l.last}
}

// Close ends the link; what waits on it returns [ErrClosed].
func (l *Link) Close() { l.fail(ErrClosed) }

// Done is closed when the link has ended; Err then says why.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err returns why the link ended, or nil.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Greet is the guest's half of pairing: it says hello until the host has sent
// a key.
func (l *Link) Greet(ctx context.Context, every time.Duration) error {
	hello := new(Key).Append(nil, l.c.Side, Frame{Kind: KindHello})
	return l.repeat(ctx, hello, l.paired, func(int) (time.Duration, bool) { return every, true })
}

// Pair is the host's half: it sends key until the guest has answered with it.
func (l *Link) Pair(ctx context.Context, key Key) error {
	l.mu.Lock()
	l.key = key
	l.mu.Unlock()
	f := new(Key).Append(nil, l.c.Side, Frame{Kind: KindKey, Payload: key[:]})
	if err := l.repeat(ctx, f, l.paired, l.backoff); err != nil {
		return fmt.Errorf("pair with the agent: %w", err)
	}
	return nil
}

// Send carries msg to the peer and returns once it has all arrived.
func (l *Link) Send(ctx context.Context, msg []byte) error {
	select {
	case l.sem <- struct{}{}:
		defer func() { <-l.sem }()
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return l.Err()
	}
	for first := true; ; first = false {
		n := min(len(msg), MaxPayload)
		kind := KindData
		switch {
		case first && n == len(msg):
			kind = KindOnly
		case first:
			kind = KindFirst
		case n == len(msg):
			kind = KindLast
		}
		if err := l.sendFrame(ctx, kind, msg[:n]); err != nil {
			return err
		}
		if msg = msg[n:]; len(msg) == 0 {
			return nil
		}
	}
}

func (l *Link) sendFrame(ctx context.Context, kind Kind, payload []byte) error {
	l.mu.Lock()
	l.seq++
	acked := make(chan struct{})
	l.acked = acked
	f := l.key.Append(nil, l.c.Side, Frame{Kind: kind, Seq: l.seq, Payload: payload})
	l.mu.Unlock()
	return l.repeat(ctx, f, acked, l.backoff)
}

// repeat sends a sealed frame until the answer, the end, or the last try.
func (l *Link) repeat(ctx context.Context, f []byte, answer <-chan struct{}, wait func(try int) (time.Duration, bool)) error {
	for try := 0; ; try++ {
		d, ok := wait(try)
		if !ok {
			return ErrNoAnswer
		}
		select {
		case l.frames <- f:
		case <-answer:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-l.done:
			return l.Err()
		}
		t := time.NewTimer(d)
		select {
		case <-answer:
			t.Stop()
			return nil
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-l.done:
			t.Stop()
			return l.Err()
		}
	}
}

func (l *Link) backoff(try int) (time.Duration, bool) {
	if l.c.Tries > 0 && try >= l.c.Tries {
		return 0, false
	}
	d := l.c.Retry << min(try, 16)
	return min(d, l.c.RetryMax), true
}

func (l *Link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
}

func (l *Link) read() {
	s := Scanner{Frame: l.open, Text: l.c.Text}
	buf := make([]byte, 32<<10)
	for {
		n, err := l.rw.Read(buf)
		s.Write(buf[:n])
		if err != nil {
			s.Flush()
			if errors.Is(err, io.EOF) {
				err = ErrClosed
			} else {
				err = fmt.Errorf("%w: %w", ErrClosed, err)
			}
			l.fail(err)
			return
		}
	}
}

func (l *Link) write() {
	for {
		var b []byte
		select {
		case <-l.ackDue:
			l.mu.Lock()
			b = l.key.Append(nil, l.c.Side, Frame{Kind: KindAck, Seq: l.last})
			l.mu.Unlock()
		case b = <-l.frames:
		case <-l.done:
			return
		}
		if _, err := l.rw.Write(b); err != nil {
			l.fail(fmt.Errorf("%w: %w", ErrClosed, err))
			return
		}
	}
}

// open takes one frame, and reports whether it was one of this session.
func (l *Link) open(text []byte) bool {
	l.mu.Lock()
	key, paired := l.key, l.isPair
	l.mu.Unlock()
	peer := l.c.Side.peer()
	if paired || l.c.Side == Host {
		if f, err := key.Open(peer, text); err == nil && key != (Key{}) {
			l.handle(f)
			return true
		}
	}
	f, err := new(Key).Open(peer, text)
	if err != nil {
		// Our own frame, come back on a line that still echoes, is
		// neither text nor news.
		_, e1 := key.Open(l.c.Side, text)
		_, e2 := new(Key).Open(l.c.Side, text)
		return e1 == nil || e2 == nil
	}
	switch {
	case f.Kind == KindHello && l.c.Side == Host:
		if l.c.Hello != nil {
			l.c.Hello()
		}
	case f.Kind == KindKey && l.c.Side == Guest && len(f.Payload) == len(key):
		if !paired {
			l.mu.Lock()
			copy(l.key[:], f.Payload)
			l.setPaired()
			l.mu.Unlock()
		} else if key != Key(f.Payload) {
			return true // a session has one key
		}
		l.oweAck()
	}
	return true
}

// setPaired is called with mu held.
func (l *Link) setPaired() {
	if !l.isPair {
		l.isPair = true
		close(l.paired)
	}
}

func (l *Link) oweAck() {
	select {
	case l.ackDue <- struct{}{}:
	default: // one is owed already, and it will carry the latest number
	}
}

// handle takes a frame sealed with the session's key.
func (l *Link) handle(f Frame) {
	l.mu.Lock()
	l.setPaired()
	if f.Kind == KindAck {
		if f.Seq == l.seq && l.acked != nil {
			close(l.acked)
			l.acked = nil
		}
		l.mu.Unlock()
		return
	}
	if f.Kind < KindData || f.Kind > KindOnly {
		l.mu.Unlock()
		return
	}
	fresh := int32(f.Seq-l.last) > 0
	var msg []byte
	whole := false
	if fresh {
		l.last = f.Seq
		msg, whole = l.assemble(f)
	}
	l.mu.Unlock()
	if whole && l.c.Deliver != nil {
		l.c.Deliver(msg)
	}
	l.oweAck()
}

// assemble is called with mu held. A sender that gave up in the middle of a
// message leaves a start without an end, which the next start replaces.
func (l *Link) assemble(f Frame) (msg []byte, whole bool) {
	if f.Kind == KindFirst || f.Kind == KindOnly {
		l.msg, l.inMsg = nil, true
	}
	if !l.inMsg {
		return nil, false
	}
	l.msg = append(l.msg, f.Payload...)
	if len(l.msg) > maxMessage {
		l.msg, l.inMsg = nil, false
		return nil, false
	}
	if f.Kind == KindLast || f.Kind == KindOnly {
		msg, l.msg, l.inMsg = l.msg, nil, false
		return msg, true
	}
	return nil, false
}
