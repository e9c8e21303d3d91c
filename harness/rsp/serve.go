package rsp

import (
	"fmt"
	"net"
	"sync"
)

// A Peer is a debugger that is connected to this program as to a stub. One goroutine
// calls Next, and any calls Send.
type Peer struct {
	conn net.Conn
	d    *decoder

	mu   sync.Mutex
	last []byte // the last packet that was sent, to send it again
	bare bool   // without acknowledgements
}

// NewPeer returns the debugger at the other end of a connection.
func NewPeer(conn net.Conn) *Peer { return &Peer{conn: conn, d: newDecoder(conn)} }

// Next returns the payload of the debugger's next packet, or interrupt for the byte that
// asks to halt the guest. It acknowledges packets, and sends the last reply again when
// the debugger asks for that.
func (p *Peer) Next() (payload string, interrupted bool, err error) {
	for {
		b, err := p.d.r.ReadByte()
		if err != nil {
			return "", false, err
		}
		if b == interrupt {
			return "", true, nil
		}
		if err := p.d.r.UnreadByte(); err != nil {
			return "", false, err
		}
		f, err := p.d.next()
		if err != nil {
			return "", false, err
		}
		switch f.kind {
		case nackFrame:
			err = p.write(p.last)
		case damagedFrame:
			err = p.acknowledge('-')
		case packetFrame:
			return string(f.data), false, p.acknowledge('+')
		}
		if err != nil {
			return "", false, err
		}
	}
}

func (p *Peer) acknowledge(b byte) error {
	p.mu.Lock()
	bare := p.bare
	p.mu.Unlock()
	if bare {
		return nil
	}
	return p.write([]byte{b})
}

// Send sends a packet.
func (p *Peer) Send(payload string) error {
	packet := appendPacket(nil, payload)
	p.mu.Lock()
	p.last = packet
	p.mu.Unlock()
	return p.write(packet)
}

// NoAcknowledgements ends the acknowledging of packets, after the debugger's
// QStartNoAckMode has been answered.
func (p *Peer) NoAcknowledgements() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bare = true
}

func (p *Peer) write(b []byte) error {
	if _, err := p.conn.Write(b); err != nil {
		return fmt.Errorf("write to the debugger: %w", err)
	}
	return nil
}
