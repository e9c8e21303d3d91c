// Package wire is the framing that the host and the guest's agent speak over
// one serial line, which the guest's kernel writes its own messages to as well.
//
// A frame on the line is
//
//	0x1e  base64(kind[1] seq[4] payload MAC[16])  0x1f
//
// with the sequence number in big endian and MAC the first 16 bytes of
// HMAC-SHA256 (RFC 2104) over a byte for the direction and everything before
// it. Base64 is RFC 4648's, without padding. The key is made by the host for
// each session and sent in a [KindKey] frame, the only one besides
// [KindHello] that is sealed with the zero key; what runs in the guest as an
// ordinary user can neither read the line nor forge a frame on it.
//
// A kernel message that lands inside a frame starts with a character that
// base64 lacks (the '[' of its time stamp) and ends with a newline, so
// [Scanner] takes it out again and the frame survives. What cannot be taken out
// breaks the MAC, and [Link] sends the frame anew.
//
// The package knows frames, sequence numbers and messages; what the messages
// ask for is in message.go, and who may ask is the business of its users.
package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	start = 0x1e // ASCII record separator
	stop  = 0x1f // ASCII unit separator

	macLen    = 16
	headerLen = 1 + 4

	// MaxPayload is the most a frame carries. Larger frames make fewer
	// round trips, smaller ones lose less to a kernel message.
	MaxPayload = 16 << 10
)

// maxEncoded bounds what a scanner collects before it gives a frame up.
var maxEncoded = encoding.EncodedLen(headerLen + MaxPayload + macLen)

var encoding = base64.RawStdEncoding

// Kind tells what a frame is for.
type Kind byte

// The kinds of frames. A data frame may start a message, end it, or both.
const (
	KindHello Kind = iota + 1 // guest: ready for a key
	KindKey                   // host: the session's key
	KindAck                   // Seq was received
	KindData                  // in the middle of a message
	KindFirst                 // starts a message
	KindLast                  // ends a message
	KindOnly                  // a message of one frame
)

// Side is the end of the line that sealed a frame. It is part of what is
// sealed, so a line that echoes does not feed an end its own frames.
type Side byte

// The two ends.
const (
	Host  Side = 'H'
	Guest Side = 'G'
)

func (s Side) peer() Side {
	if s == Host {
		return Guest
	}
	return Host
}

// Key seals the frames of a session. The zero key seals the frames before it.
type Key [32]byte

// Frame is one unit of the line.
type Frame struct {
	Kind    Kind
	Seq     uint32
	Payload []byte
}

// ErrFrame is returned for bytes that are not a frame of the expected sender.
var ErrFrame = errors.New("not a frame of this session")

// Append seals f as sent by side and appends its form on the line to dst.
func (k *Key) Append(dst []byte, side Side, f Frame) []byte {
	body := make([]byte, headerLen, headerLen+len(f.Payload)+macLen)
	body[0] = byte(f.Kind)
	binary.BigEndian.PutUint32(body[1:], f.Seq)
	body = append(body, f.Payload...)
	body = append(body, k.mac(side, body)...)
	dst = append(dst, start)
	dst = encoding.AppendEncode(dst, body)
	return append(dst, stop)
}

// Open checks the base64 text between the marks of a frame and returns the
// frame that side sealed with k.
func (k *Key) Open(side Side, text []byte) (Frame, error) {
	body, err := encoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return Frame{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	n := len(body) - macLen
	if n < headerLen || n > headerLen+MaxPayload {
		return Frame{}, fmt.Errorf("%w: %d bytes, want %d to %d", ErrFrame, len(body), headerLen+macLen, headerLen+MaxPayload+macLen)
	}
	if !hmac.Equal(body[n:], k.mac(side, body[:n])) {
		return Frame{}, fmt.Errorf("%w: wrong MAC", ErrFrame)
	}
	return Frame{
		Kind:    Kind(body[0]),
		Seq:     binary.BigEndian.Uint32(body[1:]),
		Payload: body[headerLen:n],
	}, nil
}

func (k *Key) mac(side Side, body []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte{byte(side)})
	h.Write(body)
	return h.Sum(nil)[:macLen]
}
