package proxy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kernellab/harness/rsp"
)

// Lines as QEMU 10.0 writes them, with blocks of one instruction.
const logged = `Trace 0: 0x7f12ac000100 [00000000/ffffffff81094980/0040c2b0/ff062201] 
Trace 0: 0x7f12ac000200 [00000000/ffffffff81094985/0040c2b0/ff062201] __x64_sys_clone
Trace 0: 0x7f12ac2a60c0 [00000000/ffffffff812c0da6/0040c2b0/ff062201] 
Stopped execution of TB chain before 0x7f12ac2a60c0 [ffffffff812c0da6] 
Trace 0: 0x7f12ac2a60c0 [00000000/ffffffff812c0da6/0040c2b0/ff062201] 
`

// The log is read in pieces, and a block that QEMU gave up does not count.
func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(logged); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	g := execLog{fd: fd, buf: make([]byte, 37)}
	for {
		more, err := g.read(len(g.buf), 0)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
	}
	want := []uint64{0xffffffff81094980, 0xffffffff81094985, 0xffffffff812c0da6}
	if diff := cmp.Diff(want, g.pcs); diff != "" {
		t.Errorf("instructions -want +read:\n%s", diff)
	}
	if err := g.line("qemu: fatal"); err == nil {
		t.Error("a line that is none of a block is taken")
	}
}

// An instruction that met a watchpoint is in the log twice, and counts once.
func TestExecuted(t *testing.T) {
	g := execLog{pcs: []uint64{1, 2, 2}}
	for watch, want := range map[uint64][]uint64{0: {1, 2, 2}, 0x1000: {1, 2}} {
		if diff := cmp.Diff(want, g.executed(rsp.Stop{Watch: watch})); diff != "" {
			t.Errorf("watch %#x: -want +got:\n%s", watch, diff)
		}
	}
	if got := (&execLog{}).executed(rsp.Stop{}); got == nil {
		t.Error("no instructions look like unknown ones")
	}
}

// gdb's breakpoints are kept; what QEMU does not know is refused.
func TestPoint(t *testing.T) {
	s := &Server{}
	for _, c := range []struct {
		packet, reply string
		points        []Point
	}{
		{"Z0,ffffffff81094980,1", "OK", []Point{{'0', 0xffffffff81094980, 1}}},
		{"Z2,1000,8", "OK", []Point{{'0', 0xffffffff81094980, 1}, {'2', 0x1000, 8}}},
		{"Z2,1000,8", "OK", []Point{{'0', 0xffffffff81094980, 1}, {'2', 0x1000, 8}}},
		{"z0,ffffffff81094980,1", "OK", []Point{{'2', 0x1000, 8}}},
		{"Z5,1000,8", "", []Point{{'2', 0x1000, 8}}},
		{"Z0,1000,1;X3,220027", "", []Point{{'2', 0x1000, 8}}},
		{"Z0,x,1", "E22", []Point{{'2', 0x1000, 8}}},
	} {
		if got := s.point(c.packet); got != c.reply {
			t.Errorf("%s: reply %q, want %q", c.packet, got, c.reply)
		}
		if diff := cmp.Diff(c.points, s.points); diff != "" {
			t.Errorf("%s: points -want +got:\n%s", c.packet, diff)
		}
	}
	for want, h := range map[string]Halt{
		"T05thread:p01.01;":                 {Stop: rsp.Stop{Signal: 5, Thread: "p01.01"}},
		"T05thread:p01.01;watch:1004;":      {Stop: rsp.Stop{Signal: 5, Thread: "p01.01", Watch: 0x1004}},
		"T05thread:p01.01;replaylog:begin;": {Stop: rsp.Stop{Signal: 5, Thread: "p01.01"}, Begin: true},
	} {
		if got := s.stopReply(h); got != want {
			t.Errorf("stop reply %q, want %q", got, want)
		}
	}
}

// A place is after what gdb wrote there, and before something happens.
func TestSettle(t *testing.T) {
	h := &History{ops: []op{
		{pcs: []uint64{1, 2}, stop: rsp.Stop{PC: 3}},
		{writes: []string{"P1=0"}},
		{step: true, pcs: []uint64{3}, stop: rsp.Stop{PC: 4}},
	}}
	for from, want := range map[place]place{{0, 1}: {0, 1}, {0, 2}: {2, 0}, {1, 0}: {2, 0}, {2, 0}: {2, 0}, {2, 1}: {3, 0}} {
		if got := h.settle(from); got != want {
			t.Errorf("%v settles at %v, want %v", from, got, want)
		}
	}
	for at, want := range map[place]uint64{{0, 1}: 2, {1, 0}: 3, {2, 0}: 3, {3, 0}: 4} {
		if got := h.pcAt(at); got != want {
			t.Errorf("the address at %v is %#x, want %#x", at, got, want)
		}
	}
}
