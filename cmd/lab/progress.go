package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress tells what is being done on standard error: a bar on a terminal, a
// line a task and then one every few seconds in a pipe. Safe for concurrent use.
type progress struct {
	w   io.Writer
	tty bool

	mu   sync.Mutex
	what string
	bar  *progressbar.ProgressBar
	told time.Time
}

const tellEvery = 5 * time.Second

func newProgress(w io.Writer) *progress {
	tty, _ := terminal(w)
	return &progress{w: w, tty: tty}
}

// Report implements images.Progress: done of total bytes of what, total 0 when
// it is not known.
func (p *progress) Report(what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := what != p.what
	if fresh {
		p.finish()
		p.what, p.told = what, time.Now()
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
	case total > 0 && time.Since(p.told) >= tellEvery:
		p.told = time.Now()
		fmt.Fprintf(p.w, "lab: %s: %d%% of %.1f MB\n", what, 100*done/total, float64(total)/1e6)
	}
}

// Say prints a line of its own.
func (p *progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	fmt.Fprintf(p.w, "lab: "+format+"\n", args...)
}

// Write writes what is not progress, so that the two do not mix.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
	return p.w.Write(b)
}

// Done takes a bar off the screen.
func (p *progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
	}
	p.what = ""
}
