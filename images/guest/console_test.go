package guest

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const oops = "[    2.100000] Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1] PREEMPT SMP NOPTI\r\n" +
	"[    2.100001] RIP: 0010:do_sync_core+0x1/0x30\r\n" +
	"[    2.100002] Kernel panic - not syncing: Fatal exception\r\n" +
	"[    2.100003] ---[ end Kernel panic - not syncing: Fatal exception ]---\r\n"

func lines(text string) []string {
	return strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\r", "")), "\n")
}

// A console that has ended, or on which a panic has been told to its end, is done.
func TestConsole(t *testing.T) {
	const boot = "[    0.000000] Linux version\r\n"
	for name, c := range map[string]struct {
		text string
		open bool     // the console does not end
		dead []string // the panic's lines
	}{
		"ends":                            {text: boot + "and no more"},
		"ends at once":                    {},
		"panics":                          {text: boot + oops, open: true, dead: lines(oops)},
		"panics and ends":                 {text: boot + oops, dead: lines(oops)},
		"ends within a panic":             {text: boot + oops[:150], dead: lines(oops[:150])},
		"ends within a panic's last line": {text: boot + "[    2.1] Kernel panic - not syncing: x", dead: []string{"[    2.1] Kernel panic - not syncing: x"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := pipe(t)
			var log bytes.Buffer
			console, err := ReadConsole(r, &log)
			if err != nil {
				t.Fatal(err)
			}
			defer console.Close()
			if _, err := io.WriteString(w, c.text); err != nil {
				t.Fatal(err)
			}
			if !c.open {
				w.Close()
			}
			<-console.Done()
			p := console.Panic()
			if (p != nil) != (c.dead != nil) {
				t.Fatalf("panic: %v", p)
			}
			select {
			case <-console.Panicked():
				if p == nil {
					t.Error("Panicked is closed, and there is no panic")
				}
			default:
				if p != nil {
					t.Error("Panicked is open")
				}
			}
			if p != nil {
				if d := cmp.Diff(c.dead, p.Lines); d != "" {
					t.Errorf("-want +got\n%s", d)
				}
				if want := "kernel panic: " + afterStamp(c.dead[0]); p.Error() != want {
					t.Errorf("error %q, want %q", p, want)
				}
			}
			if !c.open && log.String() != c.text {
				t.Errorf("log %q", log.String())
			}
			if want := lines(c.text); c.text != "" && !slices.Equal(console.Tail(1), want[len(want)-1:]) {
				t.Errorf("tail %q", console.Tail(1))
			}
		})
	}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return r, w
}

// What was printed has been looked through once CatchUp or Close returns.
func TestCatchUp(t *testing.T) {
	for range 200 {
		r, w := pipe(t)
		var log bytes.Buffer
		console, err := ReadConsole(r, &log)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, "[    1.5] Oops [#1]\n")
		if console.CatchUp(); console.Panic() == nil {
			t.Fatal("the oops was not seen")
		}
		io.WriteString(w, strings.Repeat("more\n", 2000))
		console.Close()
		console.Close()
		if n := strings.Count(log.String(), "more\n"); n != 2000 {
			t.Fatalf("%d lines of 2000 in the log", n)
		}
		console.CatchUp()
		w.Close()
	}
}

// A kernel that dies before it has said why is given up on after a while: the
// console is done though it has not ended and no last line came.
func TestPanicWithoutEnd(t *testing.T) {
	r, w := pipe(t)
	console, err := ReadConsole(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	io.WriteString(w, "[    2.1] Unable to handle kernel NULL pointer dereference\r\n")
	<-console.Panicked()
	<-console.Done()
	if p := console.Panic(); p == nil || len(p.Lines) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestIsPanic(t *testing.T) {
	for line, want := range map[string]bool{
		"[    2.1] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b": true,
		"[    2.100000][    T1] Oops: 0000 [#1] PREEMPT SMP PTI":                            true,
		"[    2.100000] Oops [#1]": true,
		"[    2.100000] general protection fault, probably for non-canonical: 0000 [#1] SMP":          true,
		"[    2.100000] double fault: 0000 [#1] SMP":                                                  true,
		"[    2.100000] BUG: kernel NULL pointer dereference, address: 0000000000000000":              true,
		"[    2.100000] BUG: unable to handle page fault for address: ffff":                           true,
		"[    2.100000] Unable to handle kernel NULL pointer dereference at virtual address 00000000": true,
		"[    2.100000] kernel BUG at kernel/fork.c:100!":                                             true,
		"QUJDREVGR0hJ[    2.100000] Kernel panic - not syncing: x":                                    true,
		"[    2.100000] BUG: x[83]: segfault at 0 ip 0000000000000000 sp 00007ffd error 14":           false,
		"[    2.100000] Kernel panic - [83]: segfault at 0 ip 0000000000000000":                       false,
		"[    2.100000] traps: Oops[83] general protection fault ip:401000 sp:7ffd error:0":           false,
		"[    2.100000] Oops[84]: unhandled signal 11 code 0x1 at 0x0000000000000000":                 false,
		"[    0.000000] Command line: console=ttyS0 oops=panic panic=-1":                              false,
		"[    0.000000] Kernel command line: panic=-1":                                                false,
		"": false,
	} {
		if got := isPanic(line); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestTail(t *testing.T) {
	w := newConsole(nil)
	for range tailLines + 10 {
		io.WriteString(w, "old\r\n")
	}
	io.WriteString(w, "one\r\ntwo\r\nthr")
	io.WriteString(w, "ee")
	if d := cmp.Diff([]string{"one", "two", "three"}, w.Tail(3)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if n := len(w.Tail(10000)); n != tailLines+1 {
		t.Errorf("%d lines kept", n)
	}
	if len(w.Tail(0)) != 0 || len(w.Tail(-1)) != 0 {
		t.Error("lines for no lines")
	}
}

// A line without an end is kept in parts, and a panic's lines are bounded.
func TestConsoleBounds(t *testing.T) {
	w := newConsole(nil)
	io.WriteString(w, strings.Repeat("x", 3*lineMax+5))
	if got := w.Tail(10); len(got) != 4 || len(got[0]) != lineMax || got[3] != "xxxxx" {
		t.Errorf("%d lines", len(got))
	}
	io.WriteString(w, "\nKernel panic - not syncing: x\n"+strings.Repeat("more\n", 2*panicLines))
	if p := w.Panic(); p == nil || len(p.Lines) != panicLines {
		t.Errorf("%+v", p)
	}
}

// FuzzConsole: whatever a guest prints, in whatever pieces, the console keeps lines of a
// bounded length, and ends.
func FuzzConsole(f *testing.F) {
	f.Add([]byte("[    0.1] Kernel panic - not syncing: x\r\nmore\n---[ end Kernel panic\n"), 7)
	f.Add([]byte("\x1b[31m[ 1.000000] a[    1.000001] BUG: unable to handle page\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		c := newConsole(nil)
		for chunk := range slices.Chunk(text, max(1, min(piece, 4096))) {
			if n, err := c.Write(chunk); n != len(chunk) || err != nil {
				t.Fatalf("%d of %d, %v", n, len(chunk), err)
			}
		}
		c.end()
		<-c.Done()
		for _, line := range c.Tail(tailLines) {
			if len(line) > lineMax || strings.Contains(line, "\n") {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		if p := c.Panic(); p != nil {
			select {
			case <-c.Panicked():
			default:
				t.Error("a panic that is not told")
			}
			if p.Error() == "" || len(p.Lines) > panicLines {
				t.Errorf("%d lines", len(p.Lines))
			}
		}
	})
}
