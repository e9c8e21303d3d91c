package rsp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

type frameKind int

const (
	ackFrame frameKind = iota
	nackFrame
	packetFrame
	notificationFrame // %payload#checksum, never acknowledged
	damagedFrame      // a packet with a wrong checksum or a malformed body
)

// A frame is what the stub sent: an acknowledgement or a packet.
type frame struct {
	kind frameKind
	data []byte // payload, expanded and unescaped
}

// maxFrame limits the size of a packet, both as sent and expanded. QEMU's packets
// have at most 4 KiB and some framing.
const maxFrame = 1 << 20

var (
	errFrameTooLong = fmt.Errorf("packet longer than %d bytes", maxFrame)
	errMalformed    = errors.New("malformed run length or escape in a packet")
)

const (
	escape    = '}'
	escapeXor = 0x20
	runLength = '*'
	interrupt = 0x03
)

// appendPacket appends payload to dst, escaped and framed.
func appendPacket(dst []byte, payload string) []byte {
	dst = append(dst, '$')
	var sum byte
	for i := range len(payload) {
		b := payload[i]
		if b == '$' || b == '#' || b == escape || b == runLength {
			dst = append(dst, escape)
			sum += escape
			b ^= escapeXor
		}
		dst = append(dst, b)
		sum += b
	}
	const digits = "0123456789abcdef"
	return append(dst, '#', digits[sum>>4], digits[sum&15])
}

// expand undoes run-length encoding and escapes. A run repeats the byte as
// transmitted, so an escaped byte may be part of one.
func expand(raw []byte) ([]byte, error) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		switch b {
		case runLength:
			// The count is the next character minus 29, so that three
			// repeats, the fewest worth encoding, are a space.
			if i == 0 || i+1 == len(raw) || raw[i+1] < ' ' || raw[i+1] > '~' {
				return nil, errMalformed
			}
			i++
			if len(out)+int(raw[i])-29 > maxFrame {
				return nil, errFrameTooLong
			}
			for range int(raw[i]) - 29 {
				out = append(out, out[len(out)-1])
			}
		case escape:
			if i+1 == len(raw) {
				return nil, errMalformed
			}
			i++
			out = append(out, raw[i]^escapeXor)
		default:
			out = append(out, b)
		}
	}
	return out, nil
}

// A decoder reads frames from a stream.
type decoder struct {
	r   *bufio.Reader
	raw []byte
}

func newDecoder(r io.Reader) *decoder {
	return &decoder{r: bufio.NewReaderSize(r, 16<<10)}
}

// next returns the next frame. Bytes between frames are skipped. An error
// means that no further frame can be read: io.EOF at the end of the stream,
// io.ErrUnexpectedEOF when it ends inside a packet.
func (d *decoder) next() (frame, error) {
	for {
		b, err := d.r.ReadByte()
		if err != nil {
			return frame{}, err
		}
		switch b {
		case '+':
			return frame{kind: ackFrame}, nil
		case '-':
			return frame{kind: nackFrame}, nil
		case '$':
			return d.body(packetFrame)
		case '%':
			return d.body(notificationFrame)
		}
	}
}

func (d *decoder) body(kind frameKind) (frame, error) {
	d.raw = d.raw[:0]
	var sum byte
	for {
		b, err := d.r.ReadByte()
		if err != nil {
			return frame{}, unexpectedEOF(err)
		}
		if b == '#' {
			break
		}
		if b == '$' {
			// The sender started over: $ is always escaped in a payload.
			d.raw, sum, kind = d.raw[:0], 0, packetFrame
			continue
		}
		if len(d.raw) == maxFrame {
			return frame{}, errFrameTooLong
		}
		d.raw = append(d.raw, b)
		sum += b
	}
	var want byte
	ok := true
	for range 2 {
		b, err := d.r.ReadByte()
		if err != nil {
			return frame{}, unexpectedEOF(err)
		}
		digit, hex := fromHex(b)
		ok = ok && hex
		want = want<<4 | digit
	}
	if ok && sum == want {
		data, err := expand(d.raw)
		if err == nil {
			return frame{kind: kind, data: data}, nil
		}
		if !errors.Is(err, errMalformed) {
			return frame{}, err
		}
	}
	if kind == notificationFrame {
		return frame{kind: kind}, nil
	}
	return frame{kind: damagedFrame, data: append([]byte(nil), d.raw...)}, nil
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func fromHex(b byte) (digit byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

func isHex(b []byte) bool {
	for _, c := range b {
		if _, ok := fromHex(c); !ok {
			return false
		}
	}
	return true
}
