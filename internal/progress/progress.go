// Package progress shows the progress of a command on a terminal or in a pipe.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Log shows one task after the other. On a terminal it shows a bar. In a pipe it prints
// a line for each task, and one every few seconds. It is safe for concurrent use.
type Log struct {
	w   io.Writer
	tty bool

	mu   sync.Mutex
	what string
	bar  *progressbar.ProgressBar
	last time.Time // of a line
}

// every is the interval between lines about a task in a pipe.
const every = 5 * time.Second

// New returns a Log that writes to w.
func New(w io.Writer) *Log {
	tty, _ := Terminal(w)
	return &Log{w: w, tty: tty}
}

// Report implements images.Progress: done of total bytes of task what are complete.
// total is 0 if unknown.
func (p *Log) Report(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := what != p.what
	if fresh {
		p.finish()
		p.what, p.last = what, time.Now()
	}
	switch {
	case p.tty && total > 0:
		if p.bar == nil {
			p.bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(what),
				progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish())
		}
		p.bar.ChangeMax64(max(total, done))
		p.bar.Set64(done)
	case fresh:
		fmt.Fprintf(p.w, "lab: %s\n", what)
	case total > 0 && time.Since(p.last) >= every:
		p.last = time.Now()
		fmt.Fprintf(p.w, "lab: %s: %d%% of %.1f MB\n", what, 100*done/total, float64(total)/1e6)
	}
}

// Say prints a message.
func (p *Log) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	fmt.Fprintf(p.w, "lab: "+format+"\n", args...)
}

// Write writes other output to the same writer, so that it does not mix with progress.
func (p *Log) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	return p.w.Write(b)
}

// Done ends the task and removes its bar.
func (p *Log) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

func (p *Log) finish() {
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
	}
	p.what = ""
}

// Terminal reports whether w is a terminal, and its width.
func Terminal(w io.Writer) (bool, int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	return true, width
}
