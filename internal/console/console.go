// Package console connects a terminal to the console of a guest.
package console

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	escapeKey = 'A' & 0x1f // Ctrl-A, QEMU's own
	endOfFile = 'D' & 0x1f
)

// Relay connects a terminal to a guest's console until one of them or ctx ends. If keys
// is not a terminal, Relay sends one of its lines at each prompt of the guest's shell.
func Relay(ctx context.Context, console net.Conn, keys io.Reader, screen io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { console.SetDeadline(time.Unix(1, 0)) })()
	out := NewPrompted(screen)
	if f, ok := Terminal(keys); ok {
		old, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		defer term.Restore(int(f.Fd()), old)
		go func() {
			typed(console, keys)
			cancel()
		}()
	} else {
		go func() {
			if piped(ctx, console, keys, out.Prompt) != nil {
				cancel()
			}
		}()
	}
	_, err := io.Copy(out, console)
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Terminal returns the terminal that r is, if it is one.
func Terminal(r io.Reader) (f *os.File, ok bool) {
	f, ok = r.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// Confirm asks a question and reports whether the answer begins with y. Where keys is no
// terminal it asks nothing, and the answer is no.
func Confirm(keys io.Reader, screen io.Writer, question string) bool {
	in, ok := Terminal(keys)
	if !ok {
		return false
	}
	fmt.Fprintf(screen, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(in).ReadString('\n')
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// Dial connects to the console of a guest by its socket.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w; is lab debug still running?", path, err)
	}
	return conn, nil
}

// CheckSocket returns an error if there is no console at path.
func CheckSocket(path string) error {
	if info, err := os.Stat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return errors.New("no guest's console is there: lab debug prints the command to attach to its own, while it runs")
	}
	return nil
}

// typed copies keys to w until Ctrl-A x.
func typed(w io.Writer, keys io.Reader) error {
	var buf [256]byte
	escaped := false
	for {
		n, err := keys.Read(buf[:])
		if err != nil {
			return err
		}
		var pass []byte
		for _, k := range buf[:n] {
			switch {
			case escaped && k == 'x':
				return nil
			case !escaped && k == escapeKey:
				escaped = true
				continue
			}
			escaped = false
			pass = append(pass, k)
		}
		if _, err := w.Write(pass); err != nil {
			return err
		}
	}
}

// piped sends a line at each prompt, and the end of input after the last line.
func piped(ctx context.Context, w io.Writer, r io.Reader, prompt <-chan struct{}) error {
	input, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	lines := append(bytes.SplitAfter(bytes.TrimSuffix(input, []byte("\n")), []byte("\n")), []byte{endOfFile})
	for i, line := range lines {
		if i == len(lines)-2 {
			line = append(line, '\n')
		}
		select {
		case <-prompt:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	select {
	case <-prompt: // another shell starts after the end of input
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Prompted is a writer that copies a console's output and detects prompts of its shell.
type Prompted struct {
	Prompt chan struct{} // receives when the shell waits for a command

	w    io.Writer
	line []byte
}

// NewPrompted returns a Prompted that writes to w.
func NewPrompted(w io.Writer) *Prompted {
	return &Prompted{w: w, Prompt: make(chan struct{}, 1)}
}

func (p *Prompted) Write(b []byte) (int, error) {
	for _, c := range b {
		if c == '\n' || c == '\r' {
			p.line = p.line[:0]
			continue
		}
		if len(p.line) < 256 {
			p.line = append(p.line, c)
		}
	}
	if bytes.HasSuffix(p.line, []byte("$ ")) || bytes.HasSuffix(p.line, []byte("# ")) {
		select {
		case p.Prompt <- struct{}{}:
		default:
		}
	}
	return p.w.Write(b)
}
