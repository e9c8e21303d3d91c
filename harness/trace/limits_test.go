package trace

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// A line of exactly MaxLine bytes is written and read, one of a byte more is neither.
func TestLongestLine(t *testing.T) {
	for _, extra := range []int{0, 1} {
		var b bytes.Buffer
		w, err := NewWriter(&b, Header{Lab: "l", Arch: "a"})
		if err != nil {
			t.Fatal(err)
		}
		event := func(n int) Event { return Event{Kind: KindExit, Exit: &Exit{Output: strings.Repeat("x", n)}} }
		head := b.Len()
		if err := w.Write(event(0)); err != nil {
			t.Fatal(err)
		}
		spare := MaxLine - (b.Len() - head - len("\n"))
		err = w.Write(event(spare + extra))
		if over := extra > 0; over != (err != nil) {
			t.Errorf("%d bytes over the limit: %v", extra, err)
		}
		if extra == 0 {
			if n := longest(b.Bytes()); n != MaxLine {
				t.Errorf("the longest line has %d bytes, want %d", n, MaxLine)
			}
			if tr, err := Read(&b); err != nil || len(tr.Events) != 2 {
				t.Errorf("what was written is not read: %v", err)
			}
		}
	}
	const head = `{"schema":"` + Schema + `","lab":"l","arch":"a"}` + "\n"
	line := `{"seq":1,"kind":"end"`
	for extra, want := range map[int]bool{0: true, 1: false} {
		text := line + strings.Repeat(" ", MaxLine-len(line)-1+extra) + "}"
		tr, err := Read(strings.NewReader(head + text + "\n"))
		if (err == nil) != want || want && !tr.Complete() {
			t.Errorf("%d bytes over the limit: %v", extra, err)
		}
	}
}

func longest(b []byte) (n int) {
	for line := range bytes.Lines(b) {
		n = max(n, len(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return n
}

// A trace has MaxEvents events at most.
func TestMostEvents(t *testing.T) {
	tr := Trace{Events: make([]Event, MaxEvents-1, MaxEvents)} // pages that nothing touches
	e := Event{Seq: MaxEvents, Kind: KindStop, Point: "p"}
	if err := tr.add(e); err != nil {
		t.Errorf("event %d: %v", e.Seq, err)
	}
	e.Seq++
	if err := tr.add(e); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("event %d: %v", e.Seq, err)
	}
}

// An error of the reader is no end of the trace.
func TestReadFails(t *testing.T) {
	lost := errors.New("the disk is gone")
	const head = `{"schema":"` + Schema + `","lab":"l","arch":"a"}` + "\n"
	for text, line := range map[string]int{"": 1, head[:10]: 1, head: 2, head + `{"seq":1,`: 2, head + `{"seq":1,"kind":"stop","point":"p"}` + "\n": 3} {
		_, err := Read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(lost)))
		var at *LineError
		if !errors.Is(err, lost) || !errors.As(err, &at) || at.Line != line {
			t.Errorf("%q: %v, want it in line %d", text, err, line)
		}
	}
	// Lines that end as on Windows are lines.
	if tr, err := Read(strings.NewReader(strings.TrimSuffix(head, "\n") + "\r\n" + `{"seq":1,"kind":"end"}` + "\r\n")); err != nil || !tr.Complete() {
		t.Errorf("lines with a return: %v", err)
	}
}

// A writer that fails is an error, and the event does not count.
func TestWriteFails(t *testing.T) {
	full := errors.New("the disk is full")
	if _, err := NewWriter(failing{full}, Header{}); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	w, err := NewWriter(io.Discard, Header{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Event{Kind: KindStop}); err == nil || w.Seq() != 0 {
		t.Errorf("a stop without a point is written as event %d: %v", w.Seq(), err)
	}
	w.w = failing{full}
	if err := w.Write(Event{Kind: KindEnd}); !errors.Is(err, full) || w.Seq() != 0 {
		t.Errorf("event %d: %v, want %v", w.Seq(), err, full)
	}
	w.w = io.Discard
	if err := w.Write(Event{Kind: KindEnd}); err != nil || w.Seq() != 1 {
		t.Errorf("event %d: %v", w.Seq(), err)
	}
}

// failing is a writer.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestFrameString(t *testing.T) {
	for _, c := range []struct {
		frame        Frame
		text, source string
	}{
		{Frame{PC: 1, Symbol: "f", Offset: 0xa1, Size: 0x440, Trusted: true}, "f+0xa1/0x440", ""},
		{Frame{PC: 1, Symbol: "f", Offset: 0xa1, Size: 0x440, Doubt: "no rule"}, "? f+0xa1/0x440 (no rule)", ""},
		{Frame{PC: 1, Symbol: "f", Inlined: true, Trusted: true, File: "kernel/fork.c", Line: 7}, "f (inlined)", "kernel/fork.c:7"},
		{Frame{PC: 0x401000, User: true, Trusted: true}, "user 0x401000", ""},
		{Frame{PC: 0x401000, Trusted: true}, "0x401000", ""},
		{Frame{PC: 0x401000, Doubt: "no function"}, "? 0x401000 (no function)", ""},
		{Frame{Doubt: "the stack loops"}, "? (the stack loops)", ""},
		{Frame{Trusted: true}, "", ""},
	} {
		if diff := cmp.Diff([]string{c.text, c.source}, []string{c.frame.String(), c.frame.Source()}); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.frame, diff)
		}
	}
}

func TestSignal(t *testing.T) {
	for n, want := range map[int]string{0: "0", 1: "SIGHUP", 11: "SIGSEGV", 17: "SIGCHLD", 31: "SIGSYS", 32: "signal 32", -1: "signal -1"} {
		if got := Signal(n); got != want {
			t.Errorf("signal %d is %q, want %q", n, got, want)
		}
	}
}
