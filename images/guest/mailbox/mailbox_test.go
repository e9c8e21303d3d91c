package mailbox

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzSplit(f *testing.F) {
	f.Add(Join(&Reply{Exit: &Exit{Code: 3, Pieces: []Piece{{1, 2}}}}, []byte("ab")))
	f.Add(Join(&Reply{Landing: []uint64{0x1000, 1 << 40}}, nil))
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
		var again Reply
		if _, err := Split(Join(&r, blob), &again); err != nil {
			t.Errorf("%+v does not come back: %v", r, err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Errorf("-sent +got\n%s", diff)
		}
	})
}

func TestHeaders(t *testing.T) {
	requests := []Request{{}, {
		Op: OpStart, PID: -1, Path: "/bin/ü\x00", Args: []string{"a", ""}, Env: []string{"A=b"},
		Keep: 7, Size: 1 << 30, Landed: true, Open: []string{"/sys/x"}, Text: "a b\n", Append: true, Limit: 1 << 40,
	}}
	for _, want := range requests {
		var got Request
		blob, err := Split(Join(&want, []byte("blob")), &got)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || string(blob) != "blob" {
			t.Errorf("%v, blob %q, -sent +got\n%s", err, blob, diff)
		}
	}
	replies := []Reply{{}, {
		Error: "no", PID: 83, More: true, Landing: []uint64{0x8000_0000, 0x1_0000_0000},
		Exit: &Exit{
			Code: -1, Signal: 9, Core: true, ExecError: "e", UserUS: 1, SystemUS: 2, Dropped: 1 << 40, Leftover: 3, Killed: 4,
			TimedOut: true, Stuck: true, Pieces: []Piece{{1, 5}, {2, 0}},
		},
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

// The largest reply that the agent makes fits.
func TestLargestReply(t *testing.T) {
	const piecesMax, frames = 8192, LandingSize / PageSize
	r := Reply{Exit: &Exit{}}
	for range piecesMax {
		r.Exit.Pieces = append(r.Exit.Pieces, Piece{Stream: 2, Len: 1 << 12})
	}
	if err := Put(make([]byte, Pages*PageSize), Join(&r, make([]byte, MaxBlob))); err != nil {
		t.Error(err)
	}
	hello := Reply{Landing: make([]uint64, frames)}
	for i := range hello.Landing {
		hello.Landing[i] = 1 << 48
	}
	if err := Put(make([]byte, Pages*PageSize), Join(&hello, nil)); err != nil {
		t.Error(err)
	}
}

func TestDirectory(t *testing.T) {
	var pages []uint64
	for i := range uint64(Pages) {
		pages = append(pages, 0x8000_0000+(i*7%Pages+1)*PageSize)
	}
	good := append(Directory(pages), make([]byte, PageSize)...)[:PageSize]
	got, err := ReadDirectory(good)
	if err != nil || !cmp.Equal(got, pages) {
		t.Errorf("%v, -want +got\n%s", err, cmp.Diff(pages, got))
	}
	for name, change := range map[string]func([]byte) []byte{
		"cut short":        func(b []byte) []byte { return b[:100] },
		"no magic":         func(b []byte) []byte { b[0]++; return b },
		"a page at 0":      func(b []byte) []byte { clear(b[8:16]); return b },
		"not a whole page": func(b []byte) []byte { b[8]++; return b },
	} {
		if _, err := ReadDirectory(change(bytes.Clone(good))); !errors.Is(err, ErrDirectory) {
			t.Errorf("%s: %v, want ErrDirectory", name, err)
		}
	}
}

func TestPutAndTake(t *testing.T) {
	memory := bytes.Repeat([]byte{0xff}, Pages*PageSize)
	if _, err := Take(memory); !errors.Is(err, ErrMessage) {
		t.Errorf("a length of 4 GiB: %v, want ErrMessage", err)
	}
	for _, n := range []int{0, 1, 5000, MaxMessage} {
		want := bytes.Repeat([]byte{'x'}, n)
		if err := Put(memory, want); err != nil {
			t.Fatal(err)
		}
		got, err := Take(memory)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		if size, err := Length(memory); err != nil || size != n+4 {
			t.Errorf("length %d of %d bytes, %v", size, n, err)
		}
	}
	if err := Put(memory, make([]byte, MaxMessage+1)); !errors.Is(err, ErrMessage) {
		t.Errorf("a byte too many: %v, want ErrMessage", err)
	}
	if _, err := Take(memory[:100]); !errors.Is(err, ErrMessage) {
		t.Errorf("a piece: %v, want ErrMessage", err)
	}
	if _, err := Take(nil); !errors.Is(err, ErrMessage) {
		t.Errorf("nothing: %v, want ErrMessage", err)
	}
}
