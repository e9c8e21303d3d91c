package terminal

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// said keeps the messages.
type said struct{ text []string }

func (s *said) Report(string, int64, int64) {}
func (s *said) Say(format string, _ ...any) { s.text = append(s.text, format) }
func (s *said) Done()                       {}
func (s *said) saw(text string) bool        { return strings.Contains(strings.Join(s.text, "\n"), text) }

// A line goes to the guest at its prompt, and what the guest answers is on the screen.
func TestAttach(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "console")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	guest := make(chan string, 1)
	go func() {
		defer close(guest)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write([]byte("# "))
		var buf [64]byte
		n, _ := conn.Read(buf[:])
		guest <- string(buf[:n])
		conn.Write([]byte("fork-new\r\n"))
	}()
	var screen bytes.Buffer
	var p said
	if err := (Streams{Keys: strings.NewReader("ls\n"), Screen: &screen}).Attach(t.Context(), &p, socket); err != nil {
		t.Fatal(err)
	}
	if got := <-guest; got != "ls\n" {
		t.Errorf("the guest read %q, want the line", got)
	}
	if got := screen.String(); got != "# fork-new\r\n" {
		t.Errorf("the screen has %q", got)
	}
	if !p.saw("Ctrl-A x leaves") {
		t.Errorf("Attach says %q, and not how to leave", p.text)
	}
}

func TestAttachToNone(t *testing.T) {
	err := Streams{}.Attach(t.Context(), &said{}, filepath.Join(t.TempDir(), "console"))
	if err == nil || !strings.Contains(err.Error(), "is lab debug still running?") {
		t.Errorf("Attach without a guest: %v, and not what to look at", err)
	}
}
