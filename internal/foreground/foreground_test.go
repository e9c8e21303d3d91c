package foreground

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out, errs bytes.Buffer
	s := Streams{In: strings.NewReader("in"), Out: &out, Err: &errs}
	if err := s.Run(t.Context(), []string{"sh", "-c", "cat; echo err >&2"}); err != nil || out.String() != "in" || errs.String() != "err\n" {
		t.Errorf("%v, output %q, errors %q", err, out.String(), errs.String())
	}
	if err := s.Run(t.Context(), []string{"sh", "-c", "exit 3"}); err == nil || err.Error() != "sh: exit status 3" {
		t.Errorf("a program that fails: %v", err)
	}
	// The end of the context ends the program, by SIGTERM.
	ctx, cancel := context.WithCancel(t.Context())
	began := writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if err := (Streams{In: strings.NewReader(""), Out: began, Err: io.Discard}).Run(ctx, []string{"sh", "-c", "trap 'exit 7' TERM; echo; while :; do sleep 0.1; done"}); err == nil || err.Error() != "sh: exit status 7" {
		t.Errorf("cancelled: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// SIGINT is the program's own: it does not end this process.
func TestInteractive(t *testing.T) {
	var out bytes.Buffer
	s := Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard}
	if err := s.Interactive(t.Context(), []string{"sh", "-c", "kill -INT $PPID; echo done"}); err != nil || out.String() != "done\n" {
		t.Errorf("%v, output %q", err, out.String())
	}
	if err := s.Interactive(t.Context(), []string{"sh", "-c", "exit 1"}); err == nil || !strings.HasPrefix(err.Error(), "sh: ") {
		t.Errorf("a program that fails: %v", err)
	}
}
