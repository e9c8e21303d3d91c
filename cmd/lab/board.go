package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"kernellab/harness"
	"kernellab/harness/grade"
)

// board tells how many runs are going: on a terminal a line of what is done now,
// below a line for each that ended; in a pipe the latter alone, and the start of
// each. Safe for concurrent use.
type board struct {
	w     io.Writer
	width int // of the terminal, 0 for a pipe
	total int
	terse bool // in a pipe, only tells what ended

	mu      sync.Mutex
	ended   int
	running map[int]string // what each run is doing
	shown   bool           // the line of the terminal is there
}

func newBoard(w io.Writer, total int) *board {
	tty, width := terminal(w)
	if !tty {
		width = 0
	}
	return &board{w: w, width: width, total: total, running: map[int]string{}}
}

// stage takes what a run does now.
func (b *board) stage(i int, name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, going := b.running[i]
	b.running[i] = name + ": " + what
	if b.width == 0 && !going && !b.terse {
		fmt.Fprintf(b.w, "lab: %s begins\n", visible(name))
	}
	b.draw()
}

// done takes the end of a run.
func (b *board) done(i int, name string, f harness.Finished) {
	r := f.Result
	verdict := fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore)
	if r.Verdict == grade.Error {
		verdict, _, _ = strings.Cut("error, "+r.Error, "\n")
	}
	b.end(i, name, fmt.Sprintf("%s in %.1f s", verdict, f.Took.Round(100*time.Millisecond).Seconds()))
}

// end takes the end of something and what there is to say of it.
func (b *board) end(i int, name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, i)
	b.ended++
	b.clear()
	fmt.Fprintf(b.w, "lab: [%d/%d] %s: %s\n", b.ended, b.total, visible(name), visible(what))
	b.draw()
}

// pass counts one that there was nothing to do for.
func (b *board) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended++
	b.draw()
}

// say prints a line of its own.
func (b *board) say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	fmt.Fprintf(b.w, "lab: "+format+"\n", args...)
	b.draw()
}

// close takes the line off the terminal.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

func (b *board) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

func (b *board) draw() {
	if b.width == 0 {
		return
	}
	b.clear()
	var going []string
	for i := range b.total {
		if what, ok := b.running[i]; ok {
			going = append(going, what)
		}
	}
	if len(going) == 0 {
		return
	}
	line := []rune(visible(fmt.Sprintf("[%d/%d] %s", b.ended, b.total, strings.Join(going, " · "))))
	if len(line) > b.width-1 {
		line = append(slices.Clone(line[:b.width-2]), '…')
	}
	fmt.Fprint(b.w, string(line))
	b.shown = true
}

// visible keeps what a guest said from steering the terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
