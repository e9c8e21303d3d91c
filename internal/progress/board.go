package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Board shows the progress of concurrent runs. On a terminal it prints a line for each
// finished run, and a last line with the current ones. In a pipe it prints a line when
// a run starts and when it ends. It is safe for concurrent use.
type Board struct {
	w     io.Writer
	width int // of the terminal, 0 for a pipe
	total int
	Terse bool // in a pipe, print no starts; set before the first run

	mu      sync.Mutex
	ended   int
	running map[int]string // what each run is doing
	shown   bool           // the terminal shows the last line
}

// NewBoard returns a Board for total runs.
func NewBoard(w io.Writer, total int) *Board {
	tty, width := Terminal(w)
	if !tty {
		width = 0
	}
	return &Board{w: w, width: width, total: total, running: map[int]string{}}
}

// Stage records what run i is doing.
func (b *Board) Stage(i int, name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, going := b.running[i]
	b.running[i] = name + ": " + what
	if b.width == 0 && !going && !b.Terse {
		fmt.Fprintf(b.w, "lab: %s begins\n", Visible(name))
	}
	b.draw()
}

// End records a finished run and its result.
func (b *Board) End(i int, name, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, i)
	b.ended++
	b.clear()
	fmt.Fprintf(b.w, "lab: [%d/%d] %s: %s\n", b.ended, b.total, Visible(name), Visible(what))
	b.draw()
}

// Pass counts a run that was not needed.
func (b *Board) Pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended++
	b.draw()
}

// Say prints a message.
func (b *Board) Say(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	fmt.Fprintf(b.w, "lab: "+format+"\n", args...)
	b.draw()
}

// Close removes the last line from the terminal.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

func (b *Board) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

func (b *Board) draw() {
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
	line := []rune(Visible(fmt.Sprintf("[%d/%d] %s", b.ended, b.total, strings.Join(going, " · "))))
	if len(line) > b.width-1 {
		line = append(slices.Clone(line[:b.width-2]), '…')
	}
	fmt.Fprint(b.w, string(line))
	b.shown = true
}

// Visible replaces control characters by spaces, so that a guest cannot control the
// terminal.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
