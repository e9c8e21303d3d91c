package rsp

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// A packetLog writes one line for each packet, in the form that rsptest.Parse
// reads: "-> " and a sent payload, or "<- " and a received one, with backslash
// escapes. It leaves acknowledgements out and writes other events as comments.
type packetLog struct {
	mu sync.Mutex
	w  io.Writer // nil for no log
}

func (l *packetLog) sent(payload string)     { l.line("-> ", []byte(payload)) }
func (l *packetLog) received(payload []byte) { l.line("<- ", payload) }
func (l *packetLog) note(what string, payload []byte) {
	l.line("# "+what+" ", payload)
}

func (l *packetLog) line(prefix string, payload []byte) {
	if l.w == nil {
		return
	}
	var b strings.Builder
	b.WriteString(prefix)
	for _, c := range payload {
		if c < ' ' || c > '~' || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	// A failure to write the log must not end the session.
	_, _ = io.WriteString(l.w, b.String())
}
