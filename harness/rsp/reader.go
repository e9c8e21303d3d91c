package rsp

import (
	"context"
	"errors"
	"fmt"
)

// read is the goroutine that owns reading. It ends when the link fails.
func (l *link) read() {
	defer close(l.ended)
	d := newDecoder(l.conn)
	for {
		f, err := d.next()
		switch {
		case errors.Is(err, errFrameTooLong):
			err = broken("%w", err)
		case err != nil:
			err = fmt.Errorf("%w by QEMU: %w", ErrClosed, err)
		case f.kind == ackFrame:
			l.onAck()
		case f.kind == nackFrame:
			err = l.onNack()
		case f.kind == packetFrame:
			l.log.received(f.data)
			err = l.onPacket(f.data)
		case f.kind == damagedFrame:
			l.log.note("damaged", f.data)
			err = l.onDamage()
		case f.kind == notificationFrame:
			l.log.note("notification", f.data)
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

func (l *link) onAck() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.inflight {
		if r.acked {
			continue
		}
		r.acked = true
		if r.starts != nil {
			r.starts.started = true
			l.answer(r, nil)
		}
		return
	}
}

// answer completes a request. The caller holds mu.
func (l *link) answer(r *request, reply []byte) {
	for i := range l.inflight {
		if l.inflight[i] == r {
			l.inflight = append(l.inflight[:i], l.inflight[i+1:]...)
			break
		}
	}
	r.reply = reply
	if r.settle != nil {
		r.settle(reply)
	}
	close(r.done)
}

// onNack sends the oldest unacknowledged packet again. With others behind it
// that would change their order, so then the link is given up.
func (l *link) onNack() error {
	l.mu.Lock()
	if len(l.inflight) > 1 {
		l.mu.Unlock()
		return broken("the stub refused one of several packets sent together")
	}
	if len(l.inflight) == 0 || l.inflight[0].acked {
		l.mu.Unlock()
		return nil
	}
	r := l.inflight[0]
	r.tries++
	l.mu.Unlock()
	if r.tries > maxTries {
		return broken("the stub refused packet %q %d times as damaged", clip(r.payload), maxTries)
	}
	l.log.note("sent again", []byte(r.payload))
	return l.writeAside(appendPacket(nil, r.payload))
}

// onDamage asks for the last packet again. QEMU keeps only its very last
// reply, so with several due the link is given up.
func (l *link) onDamage() error {
	l.mu.Lock()
	l.damaged++
	tries, due := l.damaged, len(l.inflight)
	// A + now would make QEMU forget the packet that the - asks for.
	l.unacked = 0
	l.mu.Unlock()
	if due > 1 {
		return broken("a damaged reply to one of several packets sent together")
	}
	if tries >= maxTries {
		return broken("%d damaged packets in a row", tries)
	}
	return l.writeAside([]byte{'-'})
}

// writeAside writes from the reading goroutine.
func (l *link) writeAside(b []byte) error {
	if n, err := l.write(context.Background(), b); err != nil {
		return l.writeFailed(n, len(b), err)
	}
	return nil
}

func (l *link) onPacket(data []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damaged = 0
	l.unacked++

	var due *request // the oldest request whose packet the stub has taken
	if len(l.inflight) > 0 && l.inflight[0].acked {
		due = l.inflight[0]
	}
	running := l.run != nil && l.run.started && !l.run.isOver()
	switch {
	case isStop(data):
		switch {
		case due != nil && due.asksStop:
			l.answer(due, data)
		case due == nil && running:
			l.run.reply, l.run.err = parseStop(data)
			close(l.run.over)
		}
		// Otherwise nobody resumed: QEMU 7.2 reports a T02 when it is
		// attached to a running guest, any version when QMP stops it.
	case isConsole(data):
		if running && due == nil {
			// There may be no next packet for the + to ride with.
			l.unacked--
			l.mu.Unlock()
			err := l.writeAside([]byte{'+'})
			l.mu.Lock()
			return err
		}
	case due != nil:
		l.answer(due, data)
	case running:
		// vCont is answered only when it is refused.
		if l.run.err = replyError(data); l.run.err == nil {
			l.run.err = unexpected(data)
		}
		close(l.run.over)
	}
	// What is left over answers nothing we sent on this connection.
	return nil
}
