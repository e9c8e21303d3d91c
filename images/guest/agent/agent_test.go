package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"kernellab/images/guest/mailbox"
)

// The agent's parts that need no guest of their own. Its life as a guest's first
// process is harness/machine's to test.

func TestMode(t *testing.T) {
	for cmdline, want := range map[string]string{
		"":                                 "",
		"console=ttyS0 quiet\n":            "",
		"console=ttyS0 lab.mode=shell\n":   "shell",
		"lab.mode=agent lab.mode=shell x":  "shell",
		"lab.mode= quiet":                  "",
		"xlab.mode=shell":                  "",
		"init=/lab.mode=shell lab.mode=a=": "a=",
	} {
		if got := mode(cmdline); got != want {
			t.Errorf("%q: %q, want %q", cmdline, got, want)
		}
	}
}

// The bounds leave the agent room, and a program what an honest one needs.
func TestBounds(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range bounds {
		if seen[b[0]] || filepath.Clean(b[0]) != b[0] || b[1] == "" {
			t.Errorf("%q is %q", b[0], b[1])
		}
		seen[b[0]] = true
		if _, err := os.Stat(filepath.Join("/proc/sys", b[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	}
	if err := group("").add(1); err != nil {
		t.Errorf("without a group: %v", err)
	}
	if err := group(t.TempDir()).add(7); err != nil {
		t.Error(err)
	}
}

// newOrder makes an order that does not move, as a test's stack does.
//
//go:noinline
func newOrder() *order { return new(order) }

// decode follows an order's pointers as execve does.
func (o *order) decode(b []byte) (path string, argv, env []string) {
	base := uint64(uintptr(unsafe.Pointer(o)))
	text := func(at uint64) string { return string(b[at-base : at-base+uint64(bytes.IndexByte(b[at-base:], 0))]) }
	list := func(at uint64) (all []string) {
		for at -= base; ; at += 8 {
			p := binary.NativeEndian.Uint64(b[at:])
			if p == 0 {
				return all
			}
			all = append(all, text(p))
		}
	}
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
	return text(word(0)), list(word(1)), list(word(2))
}

func TestOrder(t *testing.T) {
	o := newOrder()
	for _, c := range []struct {
		path      string
		argv, env []string
	}{
		{path: "/bin/x", argv: []string{"x"}, env: []string{"PATH=/bin:/bbin", "HOME=/tmp"}},
		{path: "", argv: []string{"", "ü", "a b"}},
		{path: "/bin/x"},
		{path: strings.Repeat("p", 100), argv: strings.Split(strings.Repeat("a,", 100), ","), env: []string{strings.Repeat("e", 1000)}},
	} {
		b, err := o.encode(c.path, c.argv, c.env)
		if err != nil {
			t.Errorf("%q: %v", c.path, err)
			continue
		}
		path, argv, env := o.decode(b)
		if diff := cmp.Diff([]any{c.path, c.argv, c.env}, []any{path, argv, env}); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	for name, arg := range map[string]string{"a NUL": "a\x00b", "too long": strings.Repeat("x", orderSize)} {
		if _, err := o.encode("/bin/x", []string{"x", arg}, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// What fits exactly, and a byte more.
	b, err := o.encode("/bin/x", []string{""}, nil)
	if err != nil {
		t.Fatal(err)
	}
	room := orderSize - len(b)
	if b, err = o.encode("/bin/x", []string{strings.Repeat("x", room)}, nil); err != nil || len(b) != orderSize {
		t.Errorf("%d bytes, %v, want %d", len(b), err, orderSize)
	}
	if b, err = o.encode("/bin/x", []string{strings.Repeat("x", room+8)}, nil); err == nil {
		t.Errorf("%d bytes, want an error", len(b))
	}
	if size := unsafe.Sizeof(*o); size != orderSize {
		t.Errorf("an order takes %d bytes, want %d", size, orderSize)
	}
}

func FuzzOrder(f *testing.F) {
	f.Add("/bin/x", "a\xffb", "A=b")
	f.Fuzz(func(t *testing.T, path, args, env string) {
		o := newOrder()
		b, err := o.encode(path, strings.Split(args, "\xff"), strings.Split(env, "\xff"))
		if err != nil {
			return
		}
		if len(b) > orderSize {
			t.Fatalf("%d bytes", len(b))
		}
		p, a, e := o.decode(b)
		if p != path || strings.Join(a, "\xff") != args || strings.Join(e, "\xff") != env {
			t.Errorf("%q %q %q, want %q %q %q", p, a, e, path, args, env)
		}
	})
}

func TestOutput(t *testing.T) {
	type write struct {
		stream int
		text   string
	}
	for name, c := range map[string]struct {
		keep    int
		writes  []write
		data    string
		pieces  []mailbox.Piece
		dropped int64
	}{
		"nothing":          {keep: 10, writes: []write{{1, ""}}},
		"one stream":       {keep: 10, writes: []write{{1, "ab"}, {1, "cd"}}, data: "abcd", pieces: []mailbox.Piece{{Stream: 1, Len: 4}}},
		"by turns":         {keep: 10, writes: []write{{1, "a"}, {2, "b"}, {1, "c"}}, data: "abc", pieces: []mailbox.Piece{{Stream: 1, Len: 1}, {Stream: 2, Len: 1}, {Stream: 1, Len: 1}}},
		"exactly full":     {keep: 4, writes: []write{{1, "ab"}, {2, "cd"}}, data: "abcd", pieces: []mailbox.Piece{{Stream: 1, Len: 2}, {Stream: 2, Len: 2}}},
		"over the brim":    {keep: 3, writes: []write{{1, "ab"}, {2, "cd"}, {1, "ef"}}, data: "abc", pieces: []mailbox.Piece{{Stream: 1, Len: 2}, {Stream: 2, Len: 1}}, dropped: 3},
		"nothing is kept":  {keep: 0, writes: []write{{1, "ab"}}, dropped: 2},
		"empty in between": {keep: 9, writes: []write{{1, "a"}, {2, ""}, {1, "b"}}, data: "ab", pieces: []mailbox.Piece{{Stream: 1, Len: 2}}},
	} {
		o := &output{keep: keepDefault}
		o.limit(c.keep)
		for _, w := range c.writes {
			o.add(w.stream, []byte(w.text))
		}
		if diff := cmp.Diff([]any{c.data, c.pieces, c.dropped}, []any{string(o.data), o.pieces, o.dropped}); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	// A program that changes streams with each byte costs no more than this.
	o := &output{keep: keepDefault}
	for i := range 2 * piecesMax {
		o.add(1+i%2, []byte("x"))
	}
	// The last piece, of stream 2, still grows.
	if last := o.pieces[len(o.pieces)-1].Len; len(o.pieces) != piecesMax || o.dropped != piecesMax/2 || last != 1+piecesMax/2 {
		t.Errorf("%d pieces, the last of %d bytes, %d bytes dropped", len(o.pieces), last, o.dropped)
	}
}

// Collecting ends though somebody still holds the pipe, and what was printed until
// then is there.
func TestCollect(t *testing.T) {
	o := &output{keep: keepDefault}
	var writers []*os.File
	for stream := 1; stream <= 2; stream++ {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		fmt.Fprintf(w, "on %d", stream)
		o.collect(stream, r)
		writers = append(writers, w)
	}
	writers[0].Close()
	o.end()
	if len(o.data) != 8 || len(o.pieces) != 2 {
		t.Errorf("%q in %v", o.data, o.pieces)
	}
	if _, err := writers[1].WriteString("late"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v, want that nobody reads", err)
	}
}

func TestOrdinary(t *testing.T) {
	status := func(state, uid string) string {
		return "Name:\tx\nUmask:\t0022\nState:\t" + state + "\nTgid:\t7\nUid:\t" + uid + "\nGid:\t1000\t1000\t1000\t1000\n"
	}
	const ours = "1000\t1000\t1000\t1000"
	for text, want := range map[string]bool{
		status("S (sleeping)", ours):                     true,
		status("R (running)", ours):                      true,
		status("Z (zombie)", ours):                       false,
		status("X (dead)", ours):                         false,
		status("S (sleeping)", "0\t1000\t1000\t1000"):    false,
		status("S (sleeping)", "10000\t0\t0\t0"):         false,
		status("S (sleeping)", ""):                       false,
		"":                                               false,
		"Name:\tUid:\t1000\nState:\tS\nUid:\t0\t0\t0\t0": false,
	} {
		if got := ordinary(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A process's name cannot make it of another session.
func TestSession(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	want, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	comm := filepath.Join("/proc/self/task", pid, "comm")
	old, err := os.ReadFile(comm)
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(comm, old, 0)
	for _, name := range []string{"plain", ") R 1 1 1 1 (", "a) S 2 3 4", "(("} {
		if err := os.WriteFile(comm, []byte(name), 0); err != nil {
			t.Fatal(err)
		}
		if got := session(pid); got != int(want) {
			t.Errorf("named %q: session %d, want %d", name, got, want)
		}
	}
	if got := session("0"); got != 0 {
		t.Errorf("session %d of no process", got)
	}
}

func TestChildless(t *testing.T) {
	if !childless() {
		t.Error("a test without a child has one")
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if childless() {
		t.Error("a running child is not seen")
	}
	in.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if !childless() {
		t.Error("a child that was waited for is still there")
	}
}

func TestAddresses(t *testing.T) {
	entries := func(all ...uint64) (b []byte) {
		for _, e := range all {
			b = binary.NativeEndian.AppendUint64(b, e)
		}
		return b
	}
	const present, dirty, number = 1 << 63, 1 << 55, 1<<55 - 1
	got, err := addresses(entries(present|0x80000, present|dirty|1, present|number))
	if want := []uint64{0x8000_0000, 0x1000, number * pageSize & (1<<64 - 1)}; err != nil || !cmp.Equal(got, want) {
		t.Errorf("%#x, %v, want %#x", got, err, want)
	}
	for name, entry := range map[string]uint64{"not present": 5, "swapped": 1<<62 | 5, "no number, as an ordinary user sees it": present} {
		if got, err := addresses(entries(present|1, entry)); err == nil || !strings.Contains(err.Error(), "page 1") {
			t.Errorf("%s: %#x, %v", name, got, err)
		}
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	landing, program := filepath.Join(dir, "landing"), filepath.Join(dir, "program")
	var want []byte
	for i, size := range []int{1, pageSize, 3*pageSize + 5, mailbox.LandingSize} {
		content := bytes.Repeat([]byte{byte(i + 1)}, mailbox.LandingSize)
		if err := os.WriteFile(landing, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := store(landing, program, size); err != nil {
			t.Fatal(err)
		}
		want = append(want, content[:size]...)
	}
	got, err := os.ReadFile(program)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d; %v", len(got), len(want), err)
	}
	if info, err := os.Stat(program); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("%v, %v, want an executable", info.Mode(), err)
	}
	for _, size := range []int{-1, 0, mailbox.LandingSize + 1} {
		if err := store(landing, program, size); err == nil {
			t.Errorf("%d bytes are stored", size)
		}
	}
	if err := store(filepath.Join(dir, "absent"), program, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	if err := store(landing, filepath.Join(dir, "absent", "program"), 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
}

// Only files below /proc and /sys are opened, all of them or none.
func TestOpenAll(t *testing.T) {
	for _, file := range []string{"", "/", "/sys", "/sys/", "/proc/", "/sys/../etc/passwd", "sys/x", "/sys//x", "/system/x", "/etc/passwd"} {
		if open, err := openAll([]string{"/proc/self/comm", file}); err == nil || open != nil || !strings.Contains(err.Error(), "below /proc and /sys") {
			t.Errorf("%q: %v, %v", file, open, err)
		}
	}
	if open, err := openAll([]string{"/proc/self/comm", "/sys/absent"}); open != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v, want ErrNotExist", open, err)
	}
}

// Only programs in /bin are shown.
func TestShow(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{outside, "/bin/absent-program", "/bin"} {
		if err := show(program); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// errOver ends a server: its host is gone.
var errOver = errors.New("the host is gone")

// serve has a server answer requests and returns what it sent before each, and at
// the end.
func serve(t *testing.T, s *server, requests ...mailbox.Request) (sent []mailbox.Reply, blobs []string) {
	t.Helper()
	s.exchange = func(r *mailbox.Reply, blob []byte) (mailbox.Request, error) {
		sent, blobs = append(sent, *r), append(blobs, string(blob))
		if len(mailbox.Join(r, blob)) > mailbox.MaxMessage {
			t.Error("a reply does not fit")
		}
		if len(requests) == 0 {
			return mailbox.Request{}, errOver
		}
		next := requests[0]
		requests = requests[1:]
		return next, nil
	}
	if err := s.serve(mailbox.Reply{Landing: []uint64{1}}); !errors.Is(err, errOver) {
		t.Errorf("%v, want %v", err, errOver)
	}
	return sent, blobs
}

func TestServe(t *testing.T) {
	small, large := filepath.Join(t.TempDir(), "small"), filepath.Join(t.TempDir(), "large")
	content := strings.Repeat("0123456789", mailbox.MaxBlob/4) // two pieces and a half
	if err := errors.Join(os.WriteFile(small, []byte("hello"), 0o600), os.WriteFile(large, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
	read := func(path string) mailbox.Request { return mailbox.Request{Op: mailbox.OpRead, Path: path} }
	next := mailbox.Request{Op: mailbox.OpNext}
	sent, blobs := serve(t, newServer(nil),
		read(small), read("/absent"), read(large), next, next,
		mailbox.Request{Op: "dance"}, mailbox.Request{Op: mailbox.OpRun, PID: 7}, next,
		mailbox.Request{Op: mailbox.OpStart, Path: "/bin/x", Open: []string{"/etc/passwd"}},
		mailbox.Request{Op: mailbox.OpStart, Path: "/bin/x", Args: []string{strings.Repeat("x", orderSize)}},
		read(large), read(small)) // without a next: the rest is not asked for
	const refused = "?" // an error, whatever it says
	want := []mailbox.Reply{
		{Landing: []uint64{1}}, {}, {Error: refused}, {More: true}, {More: true}, {},
		{Error: `unknown request "dance"`}, {Error: "no program with pid 7"}, {Error: `unknown request "next"`},
		{Error: refused}, {Error: refused}, {More: true}, {},
	}
	for i := range min(len(sent), len(want)) {
		if want[i].Error == refused && sent[i].Error != "" {
			sent[i].Error = refused
		}
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Fatalf("-want +sent\n%s", diff)
	}
	if blobs[1] != "hello" || blobs[3]+blobs[4]+blobs[5] != content || blobs[12] != "hello" {
		t.Error("the files came otherwise")
	}
}

// A program is let go once, with its order, and its end reported with its output.
func TestRun(t *testing.T) {
	gate, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	p := &program{pid: 7, order: []byte("go"), gate: write, out: &output{keep: 5}, ended: make(chan struct{}), exit: mailbox.Exit{Code: 3, Leftover: 1}}
	p.out.add(1, []byte("output"))
	close(p.ended)
	s := newServer(nil)
	s.programs[7] = p
	run := mailbox.Request{Op: mailbox.OpRun, PID: 7, Limit: 1 << 62}
	sent, blobs := serve(t, s, run, run)
	want := []mailbox.Reply{
		{Landing: []uint64{1}},
		{Exit: &mailbox.Exit{Code: 3, Leftover: 1, Dropped: 1, Pieces: []mailbox.Piece{{Stream: 1, Len: 5}}}},
		{Error: "program 7 was let go before"},
	}
	if diff := cmp.Diff(want, sent); diff != "" || blobs[1] != "outpu" {
		t.Errorf("output %q, -want +sent\n%s", blobs[1], diff)
	}
	b := make([]byte, 10)
	if n, err := gate.Read(b); err != nil || string(b[:n]) != "go" {
		t.Errorf("order %q, %v", b[:n], err)
	}
	if n, err := gate.Read(b); n != 0 || err == nil {
		t.Errorf("the gate is still open: %q", b[:n])
	}
	e, _, _ := s.exit(p, true, true)
	if want := (mailbox.Exit{Code: -1, TimedOut: true, Stuck: true, Dropped: 1, Pieces: p.out.pieces}); !cmp.Equal(want, *e) {
		t.Errorf("stuck: %s", cmp.Diff(want, *e))
	}
}

func TestSpare(t *testing.T) {
	s := newServer(nil)
	s.spare = &program{pid: 7}
	if p := s.takeSpare(); p == nil || p.pid != 7 {
		t.Errorf("%+v", p)
	}
	if p := s.takeSpare(); p != nil {
		t.Errorf("taken twice: %+v", p)
	}
	s.programs[7], s.programs[8] = &program{pid: 7}, &program{pid: 8}
	if s.alone(s.programs[7]) {
		t.Error("alone beside another")
	}
	s.programs[8].over = true
	if !s.alone(s.programs[7]) {
		t.Error("not alone, and the other is over")
	}
}
