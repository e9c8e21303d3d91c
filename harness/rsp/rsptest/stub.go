package rsptest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Stub plays a script to one client.
type Stub struct {
	t      testing.TB
	name   string
	conn   net.Conn
	frames chan string // packets as $payload, + - and \x03
	done   chan struct{}

	mu       sync.Mutex
	releases map[string]chan struct{}
	acks     int
}

// Start plays a script in the background and returns the client's end of the
// connection, a socketpair. name is for errors. The test fails if the client
// deviates from the script, or if it ends before the script does. The stub stops at
// the end of the test.
func Start(t testing.TB, name string, script Script) (*Stub, net.Conn) {
	t.Helper()
	ours, theirs := Socketpair(t)
	s := &Stub{
		t: t, name: name, conn: ours,
		frames:   make(chan string, 1024),
		done:     make(chan struct{}),
		releases: map[string]chan struct{}{},
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read()
	}()
	go func() {
		defer close(s.done)
		if err := s.play(script); err != nil {
			t.Error(err)
			_ = ours.Close() // so that the client does not wait for its timeout
		}
	}()
	t.Cleanup(func() {
		_ = theirs.Close()
		<-s.done
		_ = ours.Close()
		<-read
	})
	return s, theirs
}

// Socketpair returns two connected AF_UNIX stream sockets.
func Socketpair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("socketpair: %v", err)
	}
	conn := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "socketpair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatalf("socketpair: %v", err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return conn(fds[0]), conn(fds[1])
}

// Release ends the pause with the given name, now or as soon as the script reaches
// it.
func (s *Stub) Release(name string) { close(s.release(name)) }

func (s *Stub) release(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.releases[name] == nil {
		s.releases[name] = make(chan struct{})
	}
	return s.releases[name]
}

// Done is closed when the script has been played.
func (s *Stub) Done() <-chan struct{} { return s.done }

// Acks returns how many + the client has sent so far.
func (s *Stub) Acks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// patience limits each wait for the client, so that a hanging test reports the step.
const patience = 20 * time.Second

func (s *Stub) play(script Script) error {
	var damage, nack int
	var rle, noAck bool
	for i, step := range script {
		fail := func(format string, args ...any) error {
			at := fmt.Sprintf("%s: step %d", s.name, i+1)
			if step.Line > 0 {
				at = fmt.Sprintf("%s:%d", s.name, step.Line)
			}
			return fmt.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
		}
		switch step.Kind {
		case RLE:
			rle = true
		case Damage:
			damage = step.N
		case Nack:
			nack = step.N
		case NoAck:
			noAck = true
		case Expect:
			for ; nack > 0; nack-- {
				if err := s.expect(step.Text, "-"); err != nil {
					return fail("%v", err)
				}
			}
			ack := "+"
			if noAck || step.Text == "\x03" {
				ack = ""
			}
			noAck = false
			if err := s.expect(step.Text, ack); err != nil {
				return fail("%v", err)
			}
		case Reply:
			packet := frame(step.Text, rle)
			for ; damage > 0; damage-- {
				bad := bytes.Clone(packet)
				bad[len(bad)-1] ^= 1
				if err := s.send(bad); err != nil {
					return fail("%v", err)
				}
				if got, err := s.next(true); err != nil || got != "-" {
					return fail("client sent %q (%v) after a damaged packet, want -", got, err)
				}
			}
			rle = false
			if err := s.send(packet); err != nil {
				return fail("%v", err)
			}
		case Raw:
			if err := s.send([]byte(step.Text)); err != nil {
				return fail("%v", err)
			}
		case Pause:
			if err := s.pause(s.release(step.Text), patience); err != nil {
				return fail("nobody released %s", step.Text)
			}
		case Delay:
			_ = s.pause(nil, step.For)
		case Drop:
			return s.conn.Close()
		}
	}
	return nil
}

func (s *Stub) pause(until <-chan struct{}, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-until:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (s *Stub) expect(payload, ack string) error {
	want := "$" + payload
	if payload == "\x03" {
		want = payload
	}
	got, err := s.next(false)
	if err != nil {
		return fmt.Errorf("want the client to send %q: %w", payload, err)
	}
	if got != want {
		return fmt.Errorf("client sent %q, want %q", got, want)
	}
	if ack == "" {
		return nil
	}
	return s.send([]byte(ack))
}

// next returns the client's next packet or interrupt, or its next - if nacks is set.
func (s *Stub) next(nacks bool) (string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case f, ok := <-s.frames:
			switch {
			case !ok:
				return "", net.ErrClosed
			case f == "-" && !nacks:
				return "", fmt.Errorf("client refused a packet with -")
			}
			return f, nil
		case <-timer.C:
			return "", fmt.Errorf("nothing in %v", patience)
		}
	}
}

func (s *Stub) send(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	return err
}

// read reads and splits what the client sends, so that the client never waits for
// the stub.
func (s *Stub) read() {
	defer close(s.frames)
	r := bufio.NewReader(s.conn)
	for {
		b, err := r.ReadByte()
		if err != nil {
			return
		}
		switch b {
		case '+':
			s.mu.Lock()
			s.acks++
			s.mu.Unlock()
		case '$':
			body, err := r.ReadBytes('#')
			if err != nil {
				return
			}
			var sum [2]byte
			for i := range sum {
				if sum[i], err = r.ReadByte(); err != nil {
					return
				}
			}
			body = body[:len(body)-1]
			if want := checksum(body); string(sum[:]) != want {
				s.frames <- fmt.Sprintf("bad checksum %s of $%s, want %s", sum, body, want)
				continue
			}
			s.frames <- "$" + string(plain(body))
		default:
			s.frames <- string(rune(b))
		}
	}
}

func checksum(body []byte) string {
	var sum byte
	for _, b := range body {
		sum += b
	}
	return fmt.Sprintf("%02x", sum)
}

func plain(body []byte) []byte {
	var out []byte
	for i := 0; i < len(body); i++ {
		if body[i] == '}' && i+1 < len(body) {
			i++
			out = append(out, body[i]^0x20)
			continue
		}
		out = append(out, body[i])
	}
	return out
}

// Frame frames a payload the way QEMU does.
func Frame(payload string) []byte { return frame(payload, false) }

// frame can also encode runs, which QEMU never does.
func frame(payload string, rle bool) []byte {
	var body []byte
	for _, b := range []byte(payload) {
		if b == '#' || b == '$' || b == '}' || b == '*' {
			body = append(body, '}')
			b ^= 0x20
		}
		body = append(body, b)
	}
	if rle {
		body = runs(body)
	}
	return fmt.Appendf(nil, "$%s#%s", body, checksum(body))
}

// runs encodes each run of 4 to 98 equal bytes. It shortens a run whose count would
// be one of the characters # $ + -, which the protocol does not allow.
func runs(body []byte) []byte {
	var out []byte
	for i := 0; i < len(body); {
		n := 1
		for i+n < len(body) && body[i+n] == body[i] && n < 98 {
			n++
		}
		for n >= 4 && bytes.IndexByte([]byte("#$+-"), byte(n-1+29)) >= 0 {
			n--
		}
		if n < 4 {
			out, i = append(out, body[i]), i+1
			continue
		}
		out, i = append(out, body[i], '*', byte(n-1+29)), i+n
	}
	return out
}
