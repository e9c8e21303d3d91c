package walk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"kernellab/harness/recording"
	"kernellab/harness/verdict"
)

// Step shows the first run that was recorded at path stop by stop, on the terminal that
// in and out are. Where one of them is no terminal, it writes all stops to out.
func Step(ctx context.Context, g recording.Grading, path string, in io.Reader, out io.Writer) error {
	doc, err := document(ctx, g, path)
	if err != nil {
		return err
	}
	return Steps(ctx, doc.Results[0], in, out)
}

// Steps is Step for a result.
func Steps(ctx context.Context, res verdict.Result, in io.Reader, out io.Writer) error {
	r := newRun(res)
	if len(r.stops) == 0 {
		return errors.New("the run has no stops to step through")
	}
	keyboard, ok := terminal(in)
	screen, too := terminal(out)
	if ok && too {
		return r.interactive(ctx, keyboard, screen)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  Linux %s\n%s\n", r.result.Lab, r.result.Arch, r.result.Kernel, r.result.Summary)
	for i := range r.stops {
		b.WriteString("\n" + r.text(i))
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("write the stops: %w", err)
	}
	return nil
}

// terminal returns the file that is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// interactive steps by keys until the person quits. It draws on the terminal's other
// screen, so that the terminal is as it was afterwards.
func (r *run) interactive(ctx context.Context, keyboard, screen *os.File) (err error) {
	before, err := term.MakeRaw(int(keyboard.Fd()))
	if err != nil {
		return fmt.Errorf("step: %w", err)
	}
	defer func() { err = errors.Join(err, term.Restore(int(keyboard.Fd()), before)) }()
	fmt.Fprint(screen, "\x1b[?1049h\x1b[?25l")
	defer fmt.Fprint(screen, "\x1b[?25h\x1b[?1049l")

	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	typed := make(chan []byte)
	done := make(chan struct{})
	defer close(done)
	go func() { // a read of a terminal ends with the terminal, or with the program
		defer close(typed)
		for {
			b := make([]byte, 64)
			n, err := keyboard.Read(b)
			if n > 0 {
				select {
				case typed <- b[:n]:
				case <-done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		if err := r.draw(screen); err != nil {
			return err
		}
		select {
		case b, ok := <-typed:
			if !ok || r.keys(b) {
				return nil
			}
		case <-resized:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// draw draws the stop on the whole screen.
func (r *run) draw(screen *os.File) error {
	width, height, err := term.GetSize(int(screen.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	lines := r.screen(width, height, marked)
	if _, err := fmt.Fprint(screen, "\x1b[H\x1b[2J"+strings.Join(lines, "\r\n")); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// keys does what keys say, and reports whether the person quits.
func (r *run) keys(typed []byte) (quit bool) {
	for len(typed) > 0 {
		key := string(typed[:1])
		if rest := typed[1:]; key == "\x1b" && len(rest) > 1 && (rest[0] == '[' || rest[0] == 'O') {
			end := 2
			for end < len(typed)-1 && typed[end] >= '0' && typed[end] <= '9' {
				end++
			}
			key = "\x1b[" + string(typed[2:end+1])
		}
		typed = typed[len(key):]
		switch key {
		case "\r", "\n", " ", "n", "j", "\x1b[C", "\x1b[B":
			r.move(r.at + 1)
		case "b", "p", "k", "\x7f", "\b", "\x1b[D", "\x1b[A":
			r.move(r.at - 1)
		case "g", "\x1b[H", "\x1b[1~":
			r.move(0)
		case "G", "\x1b[F", "\x1b[4~":
			r.move(len(r.stops) - 1)
		case "q", "\x03", "\x04", "\x1b":
			return true
		}
	}
	return false
}
