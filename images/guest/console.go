package guest

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	tailLines  = 400
	lineMax    = 2048
	panicLines = 120

	// panicSettle is how long after its first sign a panic has to be told
	// in full, unless the console ends first, as it does with -no-reboot.
	panicSettle = time.Second
)

// PanicError is the kernel's own report that it is broken: a panic, or an oops
// that its command line turns into one. It is the machine's failure.
type PanicError struct {
	// Lines are the console's from the first sign on.
	Lines []string
}

func (e *PanicError) Error() string {
	if len(e.Lines) == 0 {
		return "kernel panic"
	}
	return "kernel panic: " + e.First()
}

// First returns the first sign of the panic, without the time.
func (e *PanicError) First() string {
	if len(e.Lines) == 0 {
		return ""
	}
	return afterStamp(e.Lines[0])
}

// Console reads a guest's serial console: it keeps the last lines and looks for a
// broken kernel in them. Its methods may be called by any number of goroutines.
type Console struct {
	log      io.Writer
	panicked chan struct{}
	done     chan struct{} // nothing more is to come, or nothing good

	file    *os.File
	raw     syscall.RawConn
	reading sync.Mutex    // from reading a piece to having looked through it
	read    chan struct{} // closed when the goroutine that reads has ended

	mu     sync.Mutex
	line   []byte
	tail   []string
	dead   []string // lines since the first sign of a panic
	signed bool
	ended  bool
}

// ReadConsole reads a console, which comes through a pipe, until its end, in a
// goroutine of its own: one that nobody reads would block the guest. log, which may be
// nil, is handed all of the text; it must not block for long.
func ReadConsole(pipe *os.File, log io.Writer) (*Console, error) {
	c := newConsole(log)
	c.file, c.read = pipe, make(chan struct{})
	var err error
	if c.raw, err = pipe.SyscallConn(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.read)
		c.raw.Read(c.drain) // whatever ends it, the console has ended
		c.end()
	}()
	return c, nil
}

// CatchUp reads what the guest has printed so far.
func (w *Console) CatchUp() {
	w.raw.Control(func(fd uintptr) { w.drain(fd) }) // a console that was closed has been read
}

// Close reads what the guest has printed and ends the reading. It may be called more
// than once.
func (w *Console) Close() {
	w.CatchUp()
	w.file.Close()
	<-w.read
}

// drain reads what is in the pipe and reports whether it has ended.
func (w *Console) drain(fd uintptr) (ended bool) {
	w.reading.Lock()
	defer w.reading.Unlock()
	var buf [4096]byte
	for {
		n, err := syscall.Read(int(fd), buf[:])
		switch {
		case n > 0:
			w.Write(buf[:n])
		case errors.Is(err, syscall.EINTR):
		default:
			return !errors.Is(err, syscall.EAGAIN)
		}
	}
}

func newConsole(log io.Writer) *Console {
	return &Console{log: log, panicked: make(chan struct{}), done: make(chan struct{})}
}

// Panicked is closed when the kernel reported on the console that it is broken.
func (w *Console) Panicked() <-chan struct{} { return w.panicked }

// Done is closed when the console has ended, or the kernel is broken and has said
// why.
func (w *Console) Done() <-chan struct{} { return w.done }

// Write takes console text, from one goroutine at a time.
func (w *Console) Write(p []byte) (int, error) {
	if w.log != nil {
		w.log.Write(p) // a log that fails is no reason to stop the guest
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range p {
		if c != '\n' && len(w.line) < lineMax {
			w.line = append(w.line, c)
			continue
		}
		w.take(strings.TrimRight(string(w.line), "\r"))
		w.line = w.line[:0]
		if c != '\n' {
			w.line = append(w.line, c)
		}
	}
	return len(p), nil
}

// take is called with mu held.
func (w *Console) take(line string) {
	if len(w.tail) == tailLines {
		copy(w.tail, w.tail[1:])
		w.tail = w.tail[:tailLines-1]
	}
	w.tail = append(w.tail, line)
	if !w.signed && !isPanic(line) {
		return
	}
	if len(w.dead) < panicLines {
		w.dead = append(w.dead, line)
	}
	if !w.signed {
		w.signed = true
		close(w.panicked)
		time.AfterFunc(panicSettle, w.end)
	}
	if strings.Contains(line, "---[ end Kernel panic") {
		w.finish()
	}
}

// end is called when the console has ended, or a panic has been told.
func (w *Console) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.line) > 0 {
		line := string(w.line)
		w.line = w.line[:0]
		w.take(line)
	}
	w.finish()
}

// finish is called with mu held.
func (w *Console) finish() {
	if !w.ended {
		w.ended = true
		close(w.done)
	}
}

// Panic returns the kernel's report that it is broken, nil while there is none.
func (w *Console) Panic() *PanicError {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.signed {
		return nil
	}
	return &PanicError{Lines: append([]string(nil), w.dead...)}
}

// Tail returns the last n lines of the text, oldest first.
func (w *Console) Tail(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := w.tail
	if len(w.line) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(w.line))
	}
	if n < len(lines) {
		lines = lines[len(lines)-max(n, 0):]
	}
	return append([]string(nil), lines...)
}

// broken matches the first line of the kernel's reports of its own death. Some
// of the kernel's messages start with the name of a process, 15 characters of
// the process's choosing, so each alternative fixes more of the line than that,
// or wants the oops counter at its end. The texts are those of kernel/panic.c,
// arch/x86/kernel/{traps,dumpstack}.c, arch/x86/mm/fault.c,
// arch/riscv/kernel/traps.c and arch/riscv/mm/fault.c.
var broken = regexp.MustCompile(`^(` + strings.Join([]string{
	`Kernel panic - not syncing`,
	`BUG: (unable to handle |kernel NULL pointer|scheduling while atomic|soft lockup|Bad page |sleeping function called)`,
	`watchdog: BUG: (soft|hard) lockup`,
	`(Oops|general protection fault|double fault|stack segment|invalid opcode|int3|divide error|kernel BUG|kernel stack overflow)\b.*\[#\d+\]`,
	`Unable to handle kernel `,
	`kernel BUG at \S+:\d+!`,
	`PANIC: (double fault|early exception)`,
	`Insufficient stack space to handle exception`,
}, "|") + `)`)

// stamp is what printk puts before a message: the time, and on some kernels the
// task or the processor that printed it.
var stamp = regexp.MustCompile(`^(<\d+>)?(\[ *\d+\.\d+\]|\[ *[TC]\d+\]|\s)*`)

var stampTime = regexp.MustCompile(`\[ *\d+\.\d{6}\]`)

func afterStamp(line string) string {
	return line[len(stamp.FindString(line)):]
}

func isPanic(line string) bool {
	// A message can follow what is left of a frame that it cut in two.
	if at := stampTime.FindStringIndex(line); at != nil {
		line = line[at[0]:]
	}
	return broken.MatchString(afterStamp(line))
}
