package walk_test

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"
	"golang.org/x/term"

	"kernellab/harness/recording"
	"kernellab/harness/verdict"
	"kernellab/harness/walk"
)

// graded grades a recorded run.
func graded(t *testing.T, name string) verdict.Result {
	t.Helper()
	res, err := recording.Grading{}.Grade(t.Context(), recorded(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// screen is the person's end of a terminal.
type screen struct {
	*testing.T
	keys *os.File
	all  string // all that was written to it
}

// await returns the text of the last picture once it has a text.
func (s *screen) await(text string) string {
	s.Helper()
	b := make([]byte, 1<<16)
	for {
		frames := strings.Split(s.all, "\x1b[H\x1b[2J")
		last := regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]").ReplaceAllString(frames[len(frames)-1], "")
		if strings.Contains(last, text) && strings.Contains(last, "q quit") {
			return last
		}
		n, err := s.keys.Read(b)
		if err != nil {
			s.Fatalf("%v before %q shows:\n%s", err, text, last)
		}
		s.all += string(b[:n])
	}
}

func (s *screen) press(keys string) {
	if _, err := s.keys.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

// TestStep steps through a run on a terminal of 80 columns and 24 lines.
func TestStep(t *testing.T) {
	res := graded(t, "fork-new.x86_64")
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	defer tty.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	before, err := term.GetState(int(tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- walk.Steps(context.Background(), res, tty, tty) }()
	s := &screen{T: t, keys: keys}
	for _, tt := range []struct{ key, stop, shows string }{
		{"", "stop 1 of 10", "clone_flags = SIGCHLD"},
		{"\r", "stop 2 of 10", "task: parent"},
		{"\r\r", "stop 4 of 10", "+ arch_dup_task_struct+0x0/0x60"},
		{"b", "stop 3 of 10", "source"},
		{"G", "stop 10 of 10", "release_task"},
		{"\r", "stop 10 of 10", "release_task"},
		{"\x1b[D", "stop 9 of 10", "task: child"},
		{"g", "stop 1 of 10", "__x64_sys_clone"},
		{"\x1b[B\x7f\x1bOB ", "stop 3 of 10", "copy_process"},
	} {
		s.press(tt.key)
		picture := s.await(tt.stop)
		lines := strings.Split(picture, "\r\n")
		if len(lines) != 24 || !strings.Contains(picture, tt.shows) {
			t.Errorf("after %q %d lines, want 24 with %q:\n%s", tt.key, len(lines), tt.shows, picture)
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > 80 {
				t.Errorf("after %q a line of %d columns: %s", tt.key, n, l)
			}
		}
	}
	s.press("q")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if after, err := term.GetState(int(tty.Fd())); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("the terminal is not as it was: %v", err)
	}
}

// TestStepInAPipe checks that a pipe gets every stop, and no control character of a guest.
func TestStepInAPipe(t *testing.T) {
	for _, name := range []string{"fork-new.x86_64", "fork-new.riscv64", "exec-life.x86_64"} {
		res := graded(t, name)
		res.Steps[0].Comm, res.Steps[0].Means = "\x1b[2J", "a\u202e\rb"
		var b bytes.Buffer
		if err := walk.Steps(t.Context(), res, strings.NewReader(""), &b); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\r\u202e") {
			t.Errorf("%s: control characters: %q", name, b.String())
		}
		rest := b.String()
		for _, s := range res.Steps {
			_, after, ok := strings.Cut(rest, "  "+s.Point+"  ")
			if !ok {
				t.Fatalf("%s: %s does not come in its place:\n%s", name, s.Point, b.String())
			}
			for _, f := range s.Stack {
				if !strings.Contains(after, " "+f+"\n") && !strings.Contains(after, " "+f+" ") {
					t.Errorf("%s: %s has no %s", name, s.Point, f)
				}
			}
			rest = after
		}
	}
	if err := walk.Steps(t.Context(), verdict.Result{}, strings.NewReader(""), &bytes.Buffer{}); err == nil {
		t.Error("a run without stops has something to step through")
	}
}
