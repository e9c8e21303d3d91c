package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const kernelLine = "[   12.345678] audit: type=1400 text of the kernel\r\n"

func testKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

func TestRoundTrip(t *testing.T) {
	k := testKey()
	for _, f := range []Frame{
		{Kind: KindAck, Seq: 1, Payload: []byte{}},
		{Kind: KindOnly, Seq: 1<<32 - 1, Payload: []byte("x")},
		{Kind: KindData, Payload: bytes.Repeat([]byte{start, stop, 0, 255}, MaxPayload/4)},
	} {
		b := k.Append(nil, Guest, f)
		if b[0] != start || b[len(b)-1] != stop {
			t.Fatalf("frame without its marks: %q", b)
		}
		got, err := k.Open(Guest, b[1:len(b)-1])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if _, err := k.Open(Host, b[1:len(b)-1]); !errors.Is(err, ErrFrame) {
			t.Errorf("opened as the other side's: %v", err)
		}
		other := testKey()
		if _, err := other.Open(Guest, b[1:len(b)-1]); !errors.Is(err, ErrFrame) {
			t.Errorf("opened with another key: %v", err)
		}
	}
}

// scan returns the frames and the text that a scanner finds in pieces.
func scan(k Key, pieces ...[]byte) (frames []Frame, text string) {
	var b strings.Builder
	s := Scanner{
		Frame: func(p []byte) bool {
			f, err := k.Open(Guest, p)
			if err == nil {
				frames = append(frames, f)
			}
			return err == nil
		},
		Text: func(p []byte) { b.Write(p) },
	}
	for _, p := range pieces {
		s.Write(p)
	}
	s.Flush()
	return frames, b.String()
}

// TestInterleaved puts kernel messages at every place of a frame: the frame
// arrives, and so does the text.
func TestInterleaved(t *testing.T) {
	k := testKey()
	want := Frame{Kind: KindOnly, Seq: 7, Payload: []byte("a message of some length")}
	b := k.Append(nil, Guest, want)
	for lines := 1; lines <= 2; lines++ {
		text := strings.Repeat(kernelLine, lines)
		for i := 0; i <= len(b); i++ {
			frames, got := scan(k, b[:i], []byte(text), b[i:])
			if d := cmp.Diff([]Frame{want}, frames); d != "" {
				t.Fatalf("at byte %d (-want +got)\n%s", i, d)
			}
			if got != text {
				t.Fatalf("at byte %d: text %q, want %q", i, got, text)
			}
		}
	}
}

// TestNoTextLost feeds what is not a frame: all of it comes out as text, the
// marks excepted.
func TestNoTextLost(t *testing.T) {
	k := testKey()
	whole := k.Append(nil, Guest, Frame{Kind: KindOnly, Payload: []byte("cut")})
	for name, in := range map[string]string{
		"plain":         "Booting\r\nLinux\r\n",
		"mark alone":    "a\x1eb\r\nc",
		"both marks":    "x\x1ehello\x1fy\n",
		"marks in text": "[ 1.0] evil\x1e\x1f\x1e[1]: segfault\n",
		"cut frame":     string(whole[:20]) + "\r\nKernel panic",
		"cut by frame":  string(whole[:20]) + string(whole[:9]),
	} {
		_, got := scan(k, []byte(in))
		want := strings.NewReplacer("\x1e", "", "\x1f", "").Replace(in)
		got = strings.NewReplacer("\x1e", "", "\x1f", "").Replace(got)
		if len(got) != len(want) {
			t.Errorf("%s: text %q, want the bytes of %q", name, got, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	var k Key
	frame := k.Append(nil, Guest, Frame{Kind: KindOnly, Seq: 1, Payload: []byte("payload")})
	f.Add([]byte("text"), 2)
	f.Add(frame, 5)
	f.Add(append([]byte(kernelLine), frame...), 60)
	f.Add([]byte("\x1e\x1e\x1f[\x1e"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole, text := scan(k, in)
		n := 0
		for _, fr := range whole {
			n += encoding.EncodedLen(headerLen + len(fr.Payload) + macLen)
		}
		if len(text)+n > len(in) {
			t.Errorf("%d bytes of text and %d of frames out of %d", len(text), n, len(in))
		}
		// How the bytes arrive makes no difference.
		cut = max(0, min(cut, len(in)))
		frames, text2 := scan(k, in[:cut], in[cut:])
		if d := cmp.Diff(whole, frames); d != "" || text != text2 {
			t.Errorf("cut at %d: %s\n%q, want %q", cut, d, text2, text)
		}
		// A frame on a line of its own arrives whatever came before, once a
		// newline has ended what that left open.
		after, _ := scan(k, in, []byte("\n"), frame)
		if len(after) != len(whole)+1 {
			t.Errorf("%d frames after, want %d", len(after), len(whole)+1)
		}
	})
}

func FuzzOpen(f *testing.F) {
	var k Key
	b := k.Append(nil, Guest, Frame{Kind: KindOnly, Seq: 1, Payload: []byte("payload")})
	f.Add(b[1 : len(b)-1])
	f.Add([]byte("AAAA"))
	f.Fuzz(func(t *testing.T, in []byte) {
		fr, err := k.Open(Guest, in)
		if err != nil {
			return
		}
		again := k.Append(nil, Guest, fr)
		if string(again[1:len(again)-1]) != string(in) {
			t.Errorf("%q opens, and seals as %q", in, again)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add(Join(&Reply{ID: 1, Exit: &Exit{Code: 3, Pieces: []Piece{{1, 2}}}}, []byte("ab")))
	f.Add([]byte{0, 0, 0, 9, '{'})
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Reply
		blob, err := Split(in, &r)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Errorf("%v is not ErrMessage", err)
			}
			return
		}
		Unpack(blob)
		var again Reply
		if _, err := Split(Join(&r, blob), &again); err != nil {
			t.Errorf("%+v does not come back: %v", r, err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Errorf("-sent +got\n%s", diff)
		}
	})
}

// TestHeaders sends headers with every field set, and with none.
func TestHeaders(t *testing.T) {
	requests := []Request{{}, {
		ID: 1 << 40, Op: OpStart, PID: -1, Path: "/bin/ü\x00", Args: []string{"a", ""}, Env: []string{"A=b"},
		Keep: 7, Size: 1 << 30, Sum: 1<<32 - 1, Landed: true, Writable: []string{"/sys/x"},
	}}
	for _, want := range requests {
		var got Request
		blob, err := Split(Join(&want, []byte("blob")), &got)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || string(blob) != "blob" {
			t.Errorf("%v, blob %q, -sent +got\n%s", err, blob, diff)
		}
	}
	replies := []Reply{{}, {
		ID: 2, Error: "no", PID: 83, More: true, Flate: true,
		Exit: &Exit{Code: -1, Signal: 9, Core: true, ExecError: "e", UserUS: 1, SystemUS: 2, Dropped: 1 << 40, Leftover: 3, Killed: 4, Pieces: []Piece{{1, 5}, {2, 0}}},
	}}
	for _, want := range replies {
		msg := Join(&want, nil)
		var got Reply
		if _, err := Split(msg, &got); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-sent +got\n%s", diff)
		}
		for n := range len(msg) - 4 { // its length is right, and it is cut short
			cut := append([]byte{0, 0, 0, byte(n)}, msg[4:4+n]...)
			if _, err := Split(cut, new(Reply)); !errors.Is(err, ErrMessage) {
				t.Errorf("%d of %d bytes: %v, want ErrMessage", n, len(msg)-4, err)
			}
		}
	}
}

func TestPack(t *testing.T) {
	for _, in := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("kernel_clone\n"), 10000)} {
		p, ok := Pack(in)
		if !ok {
			if !bytes.Equal(p, in) {
				t.Errorf("not packed, but changed")
			}
			continue
		}
		got, err := Unpack(p)
		if err != nil || !bytes.Equal(got, in) {
			t.Errorf("%d bytes came back as %d, %v", len(in), len(got), err)
		}
	}
}

// noisy writes kernel lines into what passes, at a place that moves on with each
// write, and damages some of it.
type noisy struct {
	net.Conn
	mu   sync.Mutex
	n    int
	drop bool
}

func (c *noisy) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.n++
	at := c.n % (len(p) + 1)
	b := append(append(append([]byte(nil), p[:at]...), kernelLine...), p[at:]...)
	if c.drop && c.n%3 == 0 {
		b = append(b[:at], b[min(at+5, len(b)):]...) // five bytes are lost
	}
	c.mu.Unlock()
	_, err := c.Conn.Write(b)
	return len(p), err
}

// pipe returns a paired host and guest over a line, and what they deliver.
func pipe(t *testing.T, drop bool) (host, guest *Link, atHost, atGuest chan string) {
	a, b := net.Pipe()
	atHost, atGuest = make(chan string, 100), make(chan string, 100)
	quick := 20 * time.Millisecond
	host = NewLink(a, Config{Side: Host, Text: func([]byte) {}, Deliver: func(m []byte) { atHost <- string(m) }, Retry: quick, RetryMax: quick})
	guest = NewLink(&noisy{Conn: b, drop: drop}, Config{Side: Guest, Text: func([]byte) {}, Deliver: func(m []byte) { atGuest <- string(m) }, Retry: quick, RetryMax: quick})
	t.Cleanup(func() {
		host.Close()
		guest.Close()
		a.Close()
		b.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	errs := make(chan error, 1)
	go func() { errs <- guest.Greet(ctx, quick) }()
	if err := host.Pair(ctx, testKey()); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	return host, guest, atHost, atGuest
}

func TestLink(t *testing.T) {
	for name, drop := range map[string]bool{"kernel messages": false, "and lost bytes": true} {
		t.Run(name, func(t *testing.T) {
			host, guest, atHost, atGuest := pipe(t, drop)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			big := strings.Repeat("0123456789abcdef", 3*MaxPayload/16+1)
			var wg sync.WaitGroup
			for _, dir := range []struct {
				from *Link
				to   chan string
			}{{host, atGuest}, {guest, atHost}} {
				wg.Go(func() {
					for _, m := range []string{"", "one", big, "three", kernelLine} {
						if err := dir.from.Send(ctx, []byte(m)); err != nil {
							t.Errorf("send: %v", err)
							return
						}
						if got := <-dir.to; got != m {
							t.Errorf("%d bytes arrived as %d", len(m), len(got))
						}
					}
				})
			}
			wg.Wait()
			if len(atHost)+len(atGuest) > 0 {
				t.Error("something arrived twice")
			}
		})
	}
}

func TestSendCancelled(t *testing.T) {
	host, _, _, atGuest := pipe(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := host.Send(ctx, bytes.Repeat([]byte("x"), 3*MaxPayload)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := host.Send(ctx, []byte("after")); err != nil {
		t.Fatal(err)
	}
	if got := <-atGuest; got != "after" {
		t.Errorf("%d bytes arrived, want the next message", len(got))
	}
}

func TestNoAnswer(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	go io.Copy(io.Discard, b)
	l := NewLink(a, Config{Side: Guest, Text: func([]byte) {}, Retry: time.Millisecond, RetryMax: time.Millisecond, Tries: 3})
	defer l.Close()
	if err := l.Send(t.Context(), []byte("x")); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v, want %v", err, ErrNoAnswer)
	}
	b.Close()
	<-l.Done()
	if err := l.Send(t.Context(), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
}

// TestEcho feeds a host its own frames: they are neither text nor messages.
func TestEcho(t *testing.T) {
	k := testKey()
	text := 0
	l := &Link{c: Config{Side: Host}, key: k}
	s := Scanner{Frame: l.open, Text: func(p []byte) { text += len(p) }}
	s.Write(k.Append(nil, Host, Frame{Kind: KindOnly, Seq: 1}))
	s.Write(new(Key).Append(nil, Host, Frame{Kind: KindKey, Payload: k[:]}))
	if text != 0 || l.last != 0 || l.isPair {
		t.Errorf("text %d, last %d, paired %v", text, l.last, l.isPair)
	}
}
