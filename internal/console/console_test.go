package console

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Keys are passed on until Ctrl-A x; Ctrl-A and another key pass the key alone.
func TestTyped(t *testing.T) {
	for keys, want := range map[string]string{
		"ls\r":         "ls\r",
		"ls\x01xafter": "",
		"a\x01bc":      "abc",
		"x\x01\x01xyz": "x\x01xyz",
	} {
		var got strings.Builder
		typed(&got, strings.NewReader(keys))
		if got.String() != want {
			t.Errorf("keys %q: %q passed on, want %q", keys, got.String(), want)
		}
	}
	var got strings.Builder
	if err := typed(&got, io.MultiReader(strings.NewReader("ls"), strings.NewReader("\x01"), strings.NewReader("x"), strings.NewReader("more"))); err != nil || got.String() != "ls" {
		t.Errorf("keys one by one: %q, %v", got.String(), err)
	}
}

// From a pipe a line is passed on at each prompt, and the end of input after the last.
func TestRelayFromPipe(t *testing.T) {
	ours, guest := net.Pipe()
	got := make(chan []string, 1)
	go func() {
		defer guest.Close()
		var lines []string
		r := bufio.NewReader(guest)
		io.WriteString(guest, "booting $ 5 of it\r\n")
		for range 2 {
			io.WriteString(guest, "/ # ")
			line, _ := r.ReadString('\n')
			lines = append(lines, line)
			io.WriteString(guest, line+"done\r\n")
		}
		io.WriteString(guest, "$ ")
		end, _ := r.ReadByte()
		got <- append(lines, string(end))
	}()
	var screen strings.Builder
	if err := Relay(t.Context(), ours, strings.NewReader("ps\nfork-new\n"), &screen); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"ps\n", "fork-new\n", "\x04"}, <-got); d != "" {
		t.Errorf("what the guest read (-want +got)\n%s", d)
	}
	if !strings.HasPrefix(screen.String(), "booting $ 5 of it\r\n/ # ps\n") {
		t.Errorf("the screen shows %q", screen.String())
	}
}

// Only a socket is a console, and only while somebody listens on it.
func TestDial(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "console.sock")
	for _, p := range []string{path, dir} {
		if err := CheckSocket(p); err == nil {
			t.Errorf("%s is a console", p)
		}
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckSocket(path); err != nil {
		t.Error(err)
	}
	conn, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	listener.SetUnlinkOnClose(false)
	listener.Close()
	if _, err := Dial(t.Context(), path); err == nil || !strings.Contains(err.Error(), "is lab debug still running?") {
		t.Errorf("after the guest's end: %v", err)
	}
}
