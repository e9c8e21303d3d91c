package rsp

import (
	"bufio"
	"net"
	"testing"
)

// A Peer acknowledges, asks for damaged packets again, repeats its own reply when it is
// asked to, and tells an interrupt from a packet.
func TestPeer(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	p := NewPeer(ours)
	type got struct {
		payload   string
		interrupt bool
	}
	came := make(chan got)
	go func() {
		defer close(came)
		for {
			payload, interrupted, err := p.Next()
			if err != nil {
				return
			}
			came <- got{payload, interrupted}
		}
	}()
	read := bufio.NewReader(theirs)
	expect := func(want string) {
		t.Helper()
		for i := range want {
			if b, err := read.ReadByte(); err != nil || b != want[i] {
				t.Fatalf("byte %d of %q: %q, %v", i, want, b, err)
			}
		}
	}
	send := func(text string) {
		if _, err := theirs.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}
	go send("$g#66") // a wrong checksum
	expect("-")
	go send("+$g#67")
	expect("+")
	if g := <-came; g != (got{payload: "g"}) {
		t.Errorf("got %v", g)
	}
	go p.Send("OK")
	expect("$OK#9a")
	go send("-")
	expect("$OK#9a")
	go send("\x03")
	if g := <-came; g != (got{interrupt: true}) {
		t.Errorf("got %v", g)
	}
	p.NoAcknowledgements()
	go send("$g#67")
	if g := <-came; g != (got{payload: "g"}) {
		t.Errorf("got %v", g)
	}
	theirs.Close()
	if g, open := <-came; open {
		t.Errorf("got %v after the end", g)
	}
}
