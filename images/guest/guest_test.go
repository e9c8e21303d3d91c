package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kernellab/images/guest/mailbox"
)

// message is what a fake agent puts into its mailbox.
type message struct {
	reply mailbox.Reply
	blob  string
	raw   []byte // instead: the mailbox's memory as it is
}

// fake is a guest that stands still: its memory, and an agent that answers as the
// test says.
type fake struct {
	t       *testing.T
	memory  map[uint64]*[mailbox.PageSize]byte
	answer  func(mailbox.Request) []message
	pending []message // the rest of an answer
	asked   []mailbox.Request
	written []uint64 // the pages written to beside the mailbox

	err map[string]error // of "read", "write" and "resume"
}

const (
	directory    = 0x8020_0000
	firstMail    = 0x8100_0000
	firstLanding = 0x1_0000_0000
	landingPages = 3
)

// newFake returns a guest whose agent has said hello and serves answer.
func newFake(t *testing.T, answer func(mailbox.Request) []message) *fake {
	f := &fake{t: t, memory: map[uint64]*[mailbox.PageSize]byte{}, answer: answer, err: map[string]error{}}
	f.page(directory)
	copy(f.memory[directory][:], mailbox.Directory(f.mail()))
	for _, p := range slices.Concat(f.mail(), f.landing()) {
		f.page(p)
	}
	f.put(message{reply: mailbox.Reply{Landing: f.landing()}})
	return f
}

func (f *fake) page(addr uint64) { f.memory[addr] = new([mailbox.PageSize]byte) }

// mail are the mailbox's pages: apart, and the last one first.
func (f *fake) mail() []uint64 {
	pages := make([]uint64, mailbox.Pages)
	for i := range pages {
		pages[i] = firstMail + uint64(mailbox.Pages-i)*2*mailbox.PageSize
	}
	return pages
}

func (f *fake) landing() []uint64 {
	pages := make([]uint64, landingPages)
	for i := range pages {
		pages[i] = firstLanding + uint64(landingPages-i)*2*mailbox.PageSize
	}
	return pages
}

// landed is what lies in the landing.
func (f *fake) landed() []byte {
	var b []byte
	for _, p := range f.landing() {
		b = append(b, f.memory[p][:]...)
	}
	return b
}

func (f *fake) put(m message) {
	b := m.raw
	if b == nil {
		b = make([]byte, mailbox.Pages*mailbox.PageSize)
		if err := mailbox.Put(b, mailbox.Join(&m.reply, []byte(m.blob))); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, p := range f.mail() {
		b = b[copy(f.memory[p][:], b):]
	}
}

func (f *fake) ReadPhysical(ctx context.Context, pieces []Piece) error {
	return f.each("read", pieces, func(p Piece, page []byte) { copy(p.Buf, page) })
}

func (f *fake) WritePhysical(ctx context.Context, pieces []Piece) error {
	return f.each("write", pieces, func(p Piece, page []byte) {
		copy(page, p.Buf)
		if !slices.Contains(f.mail(), p.Addr) {
			f.written = append(f.written, p.Addr)
		}
	})
}

func (f *fake) each(what string, pieces []Piece, do func(p Piece, page []byte)) error {
	for _, p := range pieces {
		page := f.memory[p.Addr]
		if page == nil || len(p.Buf) > len(page) {
			return fmt.Errorf("%s %d bytes at %#x: there is no such page", what, len(p.Buf), p.Addr)
		}
		do(p, page[:])
	}
	return f.err[what]
}

// resume has the agent answer what is in its mailbox.
func (f *fake) resume(context.Context) error {
	if err := f.err["resume"]; err != nil {
		return err
	}
	var memory []byte
	for _, p := range f.mail() {
		memory = append(memory, f.memory[p][:]...)
	}
	msg, err := mailbox.Take(memory)
	var r mailbox.Request
	if err == nil {
		_, err = mailbox.Split(msg, &r)
	}
	if err != nil {
		f.t.Fatalf("the request: %v", err)
	}
	if r.Op != mailbox.OpNext {
		f.asked = append(f.asked, r)
		f.pending = f.answer(r)
	}
	if len(f.pending) == 0 {
		f.t.Fatalf("%+v was asked for, and nothing is left to answer", r)
	}
	f.put(f.pending[0])
	f.pending = f.pending[1:]
	return nil
}

func (f *fake) greet() *Agent {
	f.t.Helper()
	a, err := Greet(f.t.Context(), f, f.resume, directory)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func TestGreet(t *testing.T) {
	f := newFake(t, nil)
	a := f.greet()
	if !slices.Equal(a.Mailbox, f.mail()) || !slices.Equal(a.Landing, f.landing()) {
		t.Errorf("mailbox %#x, landing %#x", a.Mailbox, a.Landing)
	}
	broken := errors.New("the socket is gone")
	for name, c := range map[string]struct {
		damage func(f *fake)
		want   error
	}{
		"no directory":     {func(f *fake) { clear(f.memory[directory][:]) }, mailbox.ErrDirectory},
		"half a directory": {func(f *fake) { clear(f.memory[directory][100:]) }, mailbox.ErrDirectory},
		"too long": {func(f *fake) {
			f.put(message{raw: bytes.Repeat([]byte{0xff}, mailbox.Pages*mailbox.PageSize)})
		}, mailbox.ErrMessage},
		"no message": {func(f *fake) { f.put(message{raw: make([]byte, mailbox.PageSize)}) }, mailbox.ErrMessage},
		"no reply":   {func(f *fake) { f.put(message{raw: []byte("\x08\x00\x00\x00\x00\x00\x00\x04abcd")}) }, mailbox.ErrMessage},
		"unreadable": {func(f *fake) { f.err["read"] = broken }, broken},
	} {
		f := newFake(t, nil)
		c.damage(f)
		if a, err := Greet(t.Context(), f, f.resume, directory); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, a, err, c.want)
		}
	}
}

// TestAgent runs a program and reads files. The whole conversation is compared.
func TestAgent(t *testing.T) {
	long := strings.Repeat("0123456789", mailbox.MaxBlob/10)
	f := newFake(t, func(r mailbox.Request) []message {
		switch {
		case r.Op == mailbox.OpStart:
			return []message{{reply: mailbox.Reply{PID: 83}}}
		case r.Op == mailbox.OpRead && r.Path == "/absent":
			return []message{{reply: mailbox.Reply{Error: "open /absent: no such file or directory"}}}
		case r.Op == mailbox.OpTrace, r.Op == mailbox.OpWrite:
			return []message{{}}
		case r.Op == mailbox.OpRead:
			return []message{{reply: mailbox.Reply{More: true}, blob: long}, {reply: mailbox.Reply{More: true}, blob: long}, {blob: "end"}}
		}
		exit := &mailbox.Exit{Code: 3, Leftover: 1, Dropped: 5, UserUS: 1500, Pieces: []mailbox.Piece{{Stream: 1, Len: 3}, {Stream: 2, Len: 3}}}
		return []message{{reply: mailbox.Reply{More: true}, blob: "outer"}, {reply: mailbox.Reply{Exit: exit}, blob: "r"}}
	})
	ctx, a := t.Context(), f.greet()
	p, err := a.Start(ctx, Program{Path: "/bin/fork-new"})
	if err != nil || p.PID != 83 {
		t.Fatalf("%+v, %v", p, err)
	}
	e, err := p.Run(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := Exit{Code: 3, Leftover: 1, Dropped: 5, User: 1500 * time.Microsecond, Output: []Chunk{{Stdout, []byte("out")}, {Stderr, []byte("err")}}}
	if d := cmp.Diff(want, e); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if string(e.Stdout()) != "out" || string(e.Stderr()) != "err" || string(e.Merged()) != "outerr" || !e.Truncated() {
		t.Errorf("%q %q %q", e.Stdout(), e.Stderr(), e.Merged())
	}
	if b, err := a.ReadFile(ctx, "/proc/kallsyms"); err != nil || string(b) != long+long+"end" {
		t.Errorf("%d bytes, want %d; %v", len(b), 2*len(long)+3, err)
	}
	var refused *AgentError
	if _, err := a.ReadFile(ctx, "/absent"); !errors.As(err, &refused) || refused.Text != "open /absent: no such file or directory" {
		t.Errorf("%v, want the agent's refusal", err)
	}
	err = a.MountTracing(ctx)
	if err == nil {
		err = a.WriteTracing(ctx, Tracing+"/set_event", "a b\n", true)
	}
	if err == nil {
		err = a.WriteTracing(ctx, "/etc/passwd", "x", false)
	}
	if err == nil || !strings.Contains(err.Error(), "below "+Tracing) {
		t.Errorf("%v, want a refusal of /etc/passwd", err)
	}
	p, err = a.Start(ctx, Program{Path: "/bin/x", Args: []string{"x", ""}, Env: []string{}, Keep: 7, Open: []string{"/sys/y"}})
	if err == nil {
		err = p.Release(ctx, time.Minute)
	}
	if err == nil {
		err = f.resume(ctx) // as a debugger does
	}
	if err != nil {
		t.Fatal(err)
	}
	if e, err := a.With(f, f.resume).Resumed(p.PID).Exit(ctx); err != nil || e.Code != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	requests := []mailbox.Request{
		{Op: mailbox.OpStart, Path: "/bin/fork-new", Env: []string{"PATH=/bin:/bbin", "HOME=/tmp"}},
		{Op: mailbox.OpRun, PID: 83, Limit: int64(DefaultLimit)},
		{Op: mailbox.OpRead, Path: "/proc/kallsyms"},
		{Op: mailbox.OpRead, Path: "/absent"},
		{Op: mailbox.OpTrace},
		{Op: mailbox.OpWrite, Path: Tracing + "/set_event", Text: "a b\n", Append: true},
		{Op: mailbox.OpStart, Path: "/bin/x", Args: []string{"x", ""}, Keep: 7, Open: []string{"/sys/y"}},
		{Op: mailbox.OpRun, PID: 83, Limit: int64(time.Minute)},
	}
	if d := cmp.Diff(requests, f.asked); d != "" {
		t.Errorf("requests -want +got\n%s", d)
	}
}

// TestBring compares what the guest is given with the program, whatever it takes
// to bring it there.
func TestBring(t *testing.T) {
	const room = landingPages * mailbox.PageSize
	program := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i%251 + 1)
		}
		return b
	}
	holes := program(room)
	clear(holes[mailbox.PageSize : 2*mailbox.PageSize])
	partsWithHoles := slices.Concat(program(room), make([]byte, room), program(10))
	for name, c := range map[string]struct {
		program []byte
		parts   int // beyond the landing
		pages   int // written to
	}{
		"in the guest already":         {nil, 0, 0},
		"empty":                        {[]byte{}, 0, 0},
		"a byte":                       {program(1), 0, 1},
		"as large as the landing":      {program(room), 0, 3},
		"zeros are there already":      {holes, 0, 2},
		"a byte more than the landing": {program(room + 1), 2, 4},
		"in parts":                     {program(3*room + 5000), 4, 11},
		"zeros over what was there":    {partsWithHoles, 3, 7},
	} {
		t.Run(name, func(t *testing.T) {
			var stored []byte
			parts := 0
			var f *fake
			f = newFake(t, func(r mailbox.Request) []message {
				switch {
				case r.Op == mailbox.OpStore && r.Path == "/bin/x" && r.Size <= room:
					parts++
					stored = append(stored, f.landed()[:r.Size]...)
				case r.Op == mailbox.OpStart && r.Landed:
					stored = f.landed()[:len(c.program)]
				case r.Op == mailbox.OpStart:
				default:
					return []message{{reply: mailbox.Reply{Error: "not this"}}}
				}
				return []message{{reply: mailbox.Reply{PID: 7}}}
			})
			p, err := f.greet().Start(t.Context(), Program{Path: "/bin/x", Binary: c.program})
			if err != nil || p.PID != 7 {
				t.Fatalf("%+v, %v", p, err)
			}
			if !bytes.Equal(stored, c.program) {
				t.Errorf("%d bytes came, and not the %d of the program", len(stored), len(c.program))
			}
			if parts != c.parts || len(f.written) != c.pages {
				t.Errorf("%d parts, %d pages written, want %d and %d", parts, len(f.written), c.parts, c.pages)
			}
			if last := f.asked[len(f.asked)-1]; last.Landed != (c.program != nil && c.parts == 0) {
				t.Errorf("landed: %v", last.Landed)
			}
		})
	}
	f := newFake(t, nil)
	if _, err := f.greet().Start(t.Context(), Program{Path: "/bin/x", Binary: make([]byte, MaxProgram+1)}); !errors.Is(err, ErrTooLarge) || len(f.written) > 0 {
		t.Errorf("%v and %d pages written, want ErrTooLarge and none", err, len(f.written))
	}
	f = newFake(t, func(mailbox.Request) []message { return []message{{reply: mailbox.Reply{PID: 7}}} })
	a := f.greet()
	if _, err := a.Start(t.Context(), Program{Path: "/bin/x", Binary: program(room)}); err != nil {
		t.Fatal(err)
	}
	written := len(f.written)
	// The first may still run from the pages.
	if _, err := a.Start(t.Context(), Program{Path: "/bin/y", Binary: program(1)}); !errors.Is(err, errLanded) || len(f.written) > written {
		t.Errorf("a second program: %v and %d more pages written, want none", err, len(f.written)-written)
	}
}

// TestErrors: every step of a run can fail, and its error is the cause's.
func TestErrors(t *testing.T) {
	broken := errors.New("the socket is gone")
	refusal := &AgentError{Text: "no"}
	good := func(mailbox.Request) []message { return []message{{reply: mailbox.Reply{PID: 7}}} }
	answers := func(all ...message) func(mailbox.Request) []message {
		return func(r mailbox.Request) []message {
			if r.Op == mailbox.OpRun {
				return all
			}
			return good(r)
		}
	}
	refuses := func(op mailbox.Op) func(mailbox.Request) []message {
		return func(r mailbox.Request) []message {
			if r.Op == op {
				return []message{{reply: mailbox.Reply{Error: "no"}}}
			}
			return good(r)
		}
	}
	large := make([]byte, (landingPages+1)*mailbox.PageSize)
	for name, c := range map[string]struct {
		answer  func(mailbox.Request) []message
		program []byte
		fail    string // what fails, before start or before run
		before  string
		want    error
	}{
		"refused start":           {answer: refuses(mailbox.OpStart), want: refusal},
		"refused run":             {answer: refuses(mailbox.OpRun), want: refusal},
		"refused part":            {answer: refuses(mailbox.OpStore), program: large, want: refusal},
		"start not written":       {answer: good, fail: "write", before: "start", want: broken},
		"start not read":          {answer: good, fail: "read", before: "start", want: broken},
		"guest does not go on":    {answer: good, fail: "resume", before: "start", want: broken},
		"program not written":     {answer: good, program: []byte("x"), fail: "write", before: "start", want: broken},
		"run not written":         {answer: good, fail: "write", before: "run", want: broken},
		"guest ends as it runs":   {answer: good, fail: "resume", before: "run", want: broken},
		"no exit":                 {answer: good, want: mailbox.ErrMessage},
		"malformed":               {answer: answers(message{raw: make([]byte, 4)}), want: mailbox.ErrMessage},
		"malformed second piece":  {answer: answers(message{reply: mailbox.Reply{More: true}}, message{raw: make([]byte, 4)}), want: mailbox.ErrMessage},
		"refused at the end":      {answer: answers(message{reply: mailbox.Reply{More: true}}, message{reply: mailbox.Reply{Error: "no"}}), want: refusal},
		"more output than is":     {answer: answers(message{reply: mailbox.Reply{Exit: &mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 2}}}}, blob: "x"}), want: mailbox.ErrMessage},
		"output of negative size": {answer: answers(message{reply: mailbox.Reply{Exit: &mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: -1}}}}, blob: "x"}), want: mailbox.ErrMessage},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, c.answer)
			a := f.greet()
			fail := func(now string) {
				if c.fail != "" && c.before == now {
					f.err[c.fail] = broken
				}
			}
			fail("start")
			p, err := a.Start(t.Context(), Program{Path: "/bin/x", Binary: c.program})
			if err == nil {
				fail("run")
				_, err = p.Run(t.Context(), 0)
			}
			var refused *AgentError
			if errors.As(c.want, &refused) {
				if !errors.As(err, &refused) || refused.Text != "no" {
					t.Errorf("%v, want the agent's refusal", err)
				}
			} else if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if want := "process 7"; p != nil && (err == nil || !strings.Contains(err.Error(), want)) && c.want != mailbox.ErrMessage {
				t.Errorf("%v does not say %s", err, want)
			}
		})
	}
}

// A request that the mailbox has no room for is not sent in half.
func TestLongRequest(t *testing.T) {
	f := newFake(t, nil)
	a := f.greet()
	if _, err := a.Start(t.Context(), Program{Path: "/bin/x", Args: []string{strings.Repeat("x", mailbox.MaxMessage)}}); !errors.Is(err, mailbox.ErrMessage) || len(f.asked) > 0 {
		t.Errorf("%v, %d requests", err, len(f.asked))
	}
}

func FuzzExit(f *testing.F) {
	f.Add(3, 4, []byte("outputs"))
	f.Fuzz(func(t *testing.T, a, b int, blob []byte) {
		e, err := exitFrom(mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: a}, {Stream: 2, Len: b}}}, blob)
		if err == nil && len(e.Merged()) > len(blob) {
			t.Errorf("%d bytes out of %d", len(e.Merged()), len(blob))
		}
	})
}

// FuzzAnswer: an agent may put anything into its mailbox.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x00\x00\x00\x00"))
	b := make([]byte, 200)
	mailbox.Put(b, mailbox.Join(&mailbox.Reply{Exit: &mailbox.Exit{Pieces: []mailbox.Piece{{Stream: 1, Len: 2}}}}, []byte("ab")))
	f.Add(b)
	f.Fuzz(func(t *testing.T, raw []byte) {
		g := newFake(t, func(mailbox.Request) []message { return []message{{raw: raw}, {blob: "the last"}} })
		a := g.greet()
		e, err := a.Resumed(7).Run(t.Context(), 0)
		var refused *AgentError
		if err != nil && !errors.Is(err, mailbox.ErrMessage) && !errors.As(err, &refused) {
			t.Errorf("%v", err)
		}
		if n := len(e.Merged()); n > mailbox.MaxMessage {
			t.Errorf("%d bytes of output", n)
		}
	})
}
