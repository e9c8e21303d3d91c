package mailbox

import (
	"encoding/binary"
	"fmt"
)

// A header's fields stand one after the other, numbers as in encoding/binary's
// varints, texts and lists after their length. Both ends are of one build. JSON took
// an emulated guest 50 ms a message, for code that it runs once.

// header is what a message begins with. fields passes all of its fields to c, which
// writes or reads them.
type header interface{ fields(c *codec) }

// codec writes fields to b, or reads them from it.
type codec struct {
	reads bool
	b     []byte
	bad   bool // b is no header
}

func (r *Request) fields(c *codec) {
	text(c, &r.Op)
	number(c, &r.PID)
	text(c, &r.Path)
	texts(c, &r.Args)
	texts(c, &r.Env)
	number(c, &r.Keep)
	number(c, &r.Size)
	flag(c, &r.Landed)
	texts(c, &r.Open)
	text(c, &r.Text)
	flag(c, &r.Append)
	number(c, &r.Limit)
	flag(c, &r.Init)
}

func (r *Reply) fields(c *codec) {
	text(c, &r.Error)
	number(c, &r.PID)
	number(c, &r.Timer)
	flag(c, &r.More)
	list(c, &r.Landing, func(page *uint64) { number(c, page) })
	ended := r.Exit != nil
	flag(c, &ended)
	if !ended {
		return
	}
	if r.Exit == nil {
		r.Exit = &Exit{}
	}
	e := r.Exit
	number(c, &e.Code)
	number(c, &e.Signal)
	flag(c, &e.Core)
	text(c, &e.ExecError)
	number(c, &e.UserUS)
	number(c, &e.SystemUS)
	number(c, &e.Dropped)
	number(c, &e.Leftover)
	number(c, &e.Killed)
	flag(c, &e.TimedOut)
	flag(c, &e.Stuck)
	list(c, &e.Pieces, func(p *Piece) {
		number(c, &p.Stream)
		number(c, &p.Len)
	})
}

func number[T int | int64 | uint64 | uint32](c *codec, v *T) {
	if !c.reads {
		c.b = binary.AppendVarint(c.b, int64(*v))
		return
	}
	n, size := binary.Varint(c.b)
	if size <= 0 || int64(T(n)) != n {
		c.bad, c.b = true, nil
		return
	}
	*v, c.b = T(n), c.b[size:]
}

func flag(c *codec, v *bool) {
	n := 0
	if *v {
		n = 1
	}
	number(c, &n)
	*v = n != 0
}

func text[T ~string](c *codec, v *T) {
	n := len(*v)
	number(c, &n)
	if !c.reads {
		c.b = append(c.b, *v...)
		return
	}
	if n < 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return
	}
	*v, c.b = T(c.b[:n]), c.b[n:]
}

func texts(c *codec, v *[]string) { list(c, v, func(s *string) { text(c, s) }) }

func list[T any](c *codec, v *[]T, each func(*T)) {
	n := len(*v)
	number(c, &n)
	if c.reads {
		if n < 0 || n > len(c.b) { // each takes a byte at least
			c.bad, c.b = true, nil
			return
		}
		if n > 0 {
			*v = make([]T, n)
		}
	}
	for i := range *v {
		each(&(*v)[i])
	}
}

// Join makes a message from a header and a blob: the header's length in four
// bytes, big endian, the header, the blob as it is.
func Join(h header, blob []byte) []byte {
	c := codec{b: make([]byte, 4, 256+len(blob))}
	h.fields(&c)
	binary.BigEndian.PutUint32(c.b, uint32(len(c.b)-4))
	return append(c.b, blob...)
}

// Split is the reverse of [Join]. The blob is part of msg.
func Split(msg []byte, h header) (blob []byte, err error) {
	if len(msg) < 4 {
		return nil, fmt.Errorf("%w: %d bytes, want at least 4", ErrMessage, len(msg))
	}
	n := binary.BigEndian.Uint32(msg)
	msg = msg[4:]
	if uint64(n) > uint64(len(msg)) {
		return nil, fmt.Errorf("%w: header of %d bytes in %d", ErrMessage, n, len(msg))
	}
	c := codec{reads: true, b: msg[:n]}
	h.fields(&c)
	if c.bad || len(c.b) > 0 {
		return nil, fmt.Errorf("%w: its header is not one of this agent's", ErrMessage)
	}
	return msg[n:], nil
}
