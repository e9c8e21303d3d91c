package rsp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
)

// read receives everything that the stub sends, in a goroutine of its own. It
// returns when the link fails.
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
	if r.onReply != nil {
		r.onReply(reply)
	}
	close(r.done)
}

// onNack sends the oldest unacknowledged packet again. If others follow it, that
// would change their order, so the link fails.
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
	return l.writeFromReader(appendPacket(nil, r.payload))
}

// onDamage asks for the last packet again. QEMU keeps only its last reply, so if
// several are due the link fails.
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
	return l.writeFromReader([]byte{'-'})
}

// writeFromReader writes from the reading goroutine, outside of an exchange.
func (l *link) writeFromReader(b []byte) error {
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

	var due *request // the oldest request, if the stub has acknowledged its packet
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
		// Ignore any other stop: QEMU 7.2 reports a T02 when a debugger attaches
		// to a running guest, and every version does when QMP stops the guest.
	case isConsole(data):
		if due != nil && due.onConsole != nil {
			if text, err := hex.DecodeString(string(data[1:])); err == nil {
				due.onConsole(text)
			}
		}
		if running && due == nil {
			// There may be no next packet to send the + with.
			l.unacked--
			l.mu.Unlock()
			err := l.writeFromReader([]byte{'+'})
			l.mu.Lock()
			return err
		}
	case due != nil:
		l.answer(due, data)
	case running:
		// The stub answers vCont only to refuse it.
		if l.run.err = replyError(data); l.run.err == nil {
			l.run.err = unexpected(data)
		}
		close(l.run.over)
	}
	// Ignore any other packet: it answers none of our requests.
	return nil
}
