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
	conn    net.Conn
	timeout time.Duration
	log     *packetLog
	turns   atomic.Uint64

	writing sync.Mutex // held for the length of one write

	mu       sync.Mutex
	inflight []*request // sent and not yet answered, oldest first
	unacked  int        // packets of the stub that are owed a +
	damaged  int        // damaged packets in a row
	run      *run       // the latest; nil before the first
	err      error      // why the link is dead
	dead     chan struct{}
	ended    chan struct{} // read has returned
}

// A request is a packet and what became of it.
type request struct {
	payload string
	after   string // raw bytes that follow the packet: see quiet.go
	// starts is the run that a vCont starts. Such a request is done when it
	// is acknowledged: its answer is the run's stop.
	starts *run
	// asksStop is set for ?, whose answer looks like a stop.
	asksStop bool
	// sent, when set, runs in the caller's goroutine when the request has been
	// written, and not at all when ctx ended before that.
	sent func()
	// settle, when set, learns of the answer even if the caller has given up
	// by then. It runs in the reading goroutine, before done is closed: the
	// next call waits for that, so it may touch what belongs to a turn.
	settle func(reply []byte)

	done  chan struct{} // closed when reply is set
	reply []byte

	acked bool
	tries int
}

func ask(payload string) *request { return &request{payload: payload} }

// A run is one stretch of the guest running.
type run struct {
	thread  string        // the one thread that runs, or empty for all
	quiet   bool          // with nobody attached
	counted bool          // quiet, and over because Halts counted its last stop
	over    chan struct{} // closed when reply or err is set

	reply Stop  // what the stub said
	err   error // or why it refused to resume
	stop  Stop  // reply, completed by who has the turn

	started bool // its vCont has been acknowledged
	claimed bool // stop is complete and somebody has it
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
		// The + that greets the stub. If the guest runs, QEMU halts it on
		// this byte and drops it; a $ in its place would lose the packet.
		unacked: 1,
	}
	go l.read()
	return l
}

// fail closes the connection for the given reason; the first reason stays.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	close(l.dead)
	// Nothing is buffered on our side, so there is no write error to lose.
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

// exchange sends the requests in one write and waits for all of their
// replies. The caller has waited for what earlier callers gave up (see late).
//
// When it returns an error after the write, the requests stay in flight and
// their replies are matched to them as they come.
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

	l.turns.Add(1)
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

// late waits for requests that a caller gave up, so that what they did is
// known before anything else is sent.
func (l *link) late(ctx context.Context) error {
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

// writeFailed is the end of the link: after part of a packet nothing can
// follow, and a socket that takes nothing belongs to a stub that hangs.
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
			// The reply may have been the last thing to come.
			select {
			case <-r.done:
			default:
				return l.deadErr()
			}
		}
	}
	return nil
}

// write writes b whole, or fails when ctx ends or the timeout passes.
func (l *link) write(ctx context.Context, b []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return 0, err
	}
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		// An error means that the connection is closed, which ends the
		// write as well.
		_ = l.conn.SetWriteDeadline(time.Unix(1, 0))
	})
	n, err := l.conn.Write(b)
	if !stop() {
		<-cut // or it would cut the next write
	}
	return n, err
}
