package rsp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxTries bounds how often one packet is sent, in either direction.
const maxTries = 3

// A link exchanges packets with the stub. Its read method runs in the one
// goroutine that reads from conn; exchange is called by one caller at a time.
type link struct {
	conn       net.Conn
	timeout    time.Duration
	log        *packetLog
	roundTrips atomic.Uint64

	writing sync.Mutex // held for the length of one write

	mu       sync.Mutex
	inflight []*request // sent and not yet answered, oldest first
	unacked  int        // packets of the stub that have not been acknowledged
	damaged  int        // damaged packets in a row
	run      *run       // the latest; nil before the first
	err      error      // why the link is dead
	dead     chan struct{}
	ended    chan struct{} // closed when read has returned
}

// A request is a packet and its reply.
type request struct {
	payload string
	after   string // raw bytes that follow the packet: see unattached.go
	// starts is the run that this packet starts. Such a request is done when it
	// is acknowledged: the run's stop is its answer.
	starts *run
	// asksStop is set for ? and vAttach, whose answer has the form of a stop.
	asksStop bool
	// sent, when set, is called in the caller's goroutine after the request has
	// been written, but not if ctx ended before.
	sent func()
	// onReply, when set, is called with the answer, even if the caller has given
	// up. It runs in the reading goroutine, before done is closed. As the next
	// call waits for done, it may access the fields that Client.turn guards.
	onReply func(reply []byte)
	// onConsole, when set, is called in the same way with each piece of output for the
	// user that precedes the answer.
	onConsole func(text []byte)

	done  chan struct{} // closed when reply is set
	reply []byte

	acked bool
	tries int
}

func ask(payload string) *request { return &request{payload: payload} }

// A run is one stretch of the guest running.
type run struct {
	thread     string        // the only thread that runs, or empty for all
	unattached bool          // the client is detached meanwhile
	counted    bool          // unattached, and over because StopCounter counted its last stop
	over       chan struct{} // closed when reply or err is set

	reply Stop  // what the stub reported
	err   error // why the stub refused to resume
	stop  Stop  // reply with its thread and PC, set by the holder of Client.turn

	started bool // its packet has been acknowledged
	claimed bool // stop is complete and has a receiver
}

func (r *run) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

func newLink(conn net.Conn, timeout time.Duration, log *packetLog) *link {
	l := &link{
		conn:    conn,
		timeout: timeout,
		log:     log,
		dead:    make(chan struct{}),
		ended:   make(chan struct{}),
		// The first + is sent for no packet. If the guest runs, QEMU halts it
		// at this byte and discards it; it would discard a $ too.
		unacked: 1,
	}
	go l.read()
	return l
}

// fail closes the connection and records why, unless it is closed already.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	close(l.dead)
	// Writes are not buffered, so Close loses no write error.
	_ = l.conn.Close()
}

func (l *link) deadErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBroken, fmt.Errorf(format, args...))
}

// exchange sends the requests in one write and waits for all of their replies. The
// caller has called awaitAbandoned.
//
// When it returns an error after the write, the requests stay in flight and the
// reader matches later replies to them.
func (l *link) exchange(ctx context.Context, reqs ...*request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limit := time.NewTimer(l.timeout)
	defer limit.Stop()

	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return l.err
	}
	var out []byte
	owed := l.unacked
	for range owed {
		out = append(out, '+')
	}
	l.unacked = 0
	before := l.run
	for _, r := range reqs {
		out = append(appendPacket(out, r.payload), r.after...)
		r.done = make(chan struct{})
		r.tries = 1
		l.inflight = append(l.inflight, r)
		if r.starts != nil {
			l.run = r.starts
		}
		l.log.sent(r.payload)
	}
	l.mu.Unlock()

	l.roundTrips.Add(1)
	if n, err := l.write(ctx, out); err != nil {
		if n == 0 && ctx.Err() != nil {
			l.mu.Lock()
			l.inflight, l.run = nil, before
			l.unacked += owed
			l.mu.Unlock()
			return ctx.Err()
		}
		return l.writeFailed(n, len(out), err)
	}
	for _, r := range reqs {
		if r.sent != nil {
			r.sent()
		}
	}
	return l.await(ctx, limit, reqs)
}

// awaitAbandoned waits for the replies to requests whose caller has given up, so
// that their effects are known before anything else is sent.
func (l *link) awaitAbandoned(ctx context.Context) error {
	l.mu.Lock()
	reqs := append([]*request(nil), l.inflight...)
	l.mu.Unlock()
	if len(reqs) == 0 {
		return nil
	}
	limit := time.NewTimer(l.timeout)
	defer limit.Stop()
	if err := l.await(ctx, limit, reqs); err != nil {
		return fmt.Errorf("the answer to an earlier packet, %q, is still due: %w", clip(reqs[0].payload), err)
	}
	return nil
}

// writeFailed ends the link: nothing can follow a part of a packet, and a socket
// that accepts no bytes belongs to a stub that hangs.
func (l *link) writeFailed(n, of int, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		l.fail(broken("wrote %d of %d bytes: %w", n, of, ErrTimeout))
	} else {
		l.fail(fmt.Errorf("%w: %w", ErrClosed, err))
	}
	return l.deadErr()
}

func (l *link) await(ctx context.Context, limit *time.Timer, reqs []*request) error {
	for _, r := range reqs {
		select {
		case <-r.done:
			continue
		default:
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%w (%v)", ErrTimeout, l.timeout)
		case <-l.dead:
			// The reply may have arrived before the link died.
			select {
			case <-r.done:
			default:
				return l.deadErr()
			}
		}
	}
	return nil
}

// write writes all of b, or fails when ctx ends or the timeout passes.
func (l *link) write(ctx context.Context, b []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return 0, err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		// An error means that the connection is closed, which also ends the
		// write.
		_ = l.conn.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err := l.conn.Write(b)
	if !stop() {
		<-cut // otherwise it could end the next write
	}
	return n, err
}
