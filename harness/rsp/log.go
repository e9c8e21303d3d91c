package rsp

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// A packetLog writes one line for each packet, in the form that rsptest.Parse
// reads: "-> " and what was sent, "<- " and what came back, with backslash
// escapes. Acknowledgements are left out; what else happened is a comment.
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
	// A log that cannot be written must not stop the guest's session.
	_, _ = io.WriteString(l.w, b.String())
}
