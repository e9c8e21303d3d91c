package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"syscall"
	"time"

	"kernellab/images/guest/mailbox"
)

// MaxProgram is the size of the largest program that is brought to a guest, in
// bytes: its files are in its memory.
const MaxProgram = 16 << 20

// DefaultLimit is what a program may take of the guest's time.
const DefaultLimit = 10 * time.Second

// Program is what to run.
type Program struct {
	Path string
	// Binary is the program's executable, which is brought to Path in the guest;
	// nil for one that the guest has there.
	Binary []byte
	// Args is the whole argument vector; nil means the base name of Path.
	Args []string
	// Env replaces the environment PATH=/bin:/bbin, HOME=/tmp.
	Env []string
	// Keep bounds the output that is kept, in bytes: 256 KiB when zero, 4
	// MiB at most. The rest is counted.
	Keep int
	// Open are files below /proc or /sys that the guest's root opens for reading
	// and writing. The program, which may not do that itself, inherits them as
	// descriptors 3, 4 and so on.
	Open []string
	// Init says that the program runs as the guest's first process: the agent becomes
	// it, by execve(2), and answers no request any more. Limit is then what it may take
	// of the guest's time.
	Init  bool
	Limit time.Duration
}

// Process is a program of the guest.
type Process struct {
	// PID is the process's number in the guest. It has it before its exec.
	PID int
	// Timer is 0, or the process that makes the agent's mark in place of an agent that
	// has become the program (Program.Init), when the program's limit has passed.
	Timer int

	a *Agent
}

// Exit is how a program ended.
type Exit struct {
	Code       int            // exit status, -1 when a signal ended it
	Signal     syscall.Signal // 0 when it exited; numbered as on Linux
	CoreDumped bool
	// ExecError says why the program never started, "" when it did. Code is
	// then 127.
	ExecError    string
	User, System time.Duration // processor time, by the guest's clock
	Output       []Chunk
	Dropped      int64 // bytes of output beyond Program.Keep
	// Leftover counts the processes that were alive when the program ended,
	// Killed those of them that did not end by themselves soon after.
	Leftover, Killed int
	// TimedOut says that the program was killed at its limit, Stuck that it had not
	// ended some time after that.
	TimedOut, Stuck bool
}

// Stream tells standard output from standard error.
type Stream int

// The streams, by file descriptor.
const (
	Stdout Stream = 1
	Stderr Stream = 2
)

// Chunk is a run of output of one stream. The order of chunks of different
// streams is that of their arrival at the agent, not exactly that of the writes.
type Chunk struct {
	Stream Stream
	Data   []byte
}

// Stdout returns what the program wrote to standard output.
func (e *Exit) Stdout() []byte { return e.stream(Stdout) }

// Stderr returns what the program wrote to standard error.
func (e *Exit) Stderr() []byte { return e.stream(Stderr) }

// Merged returns what the program wrote to both.
func (e *Exit) Merged() []byte { return e.stream(Stdout, Stderr) }

// Truncated reports whether some output was dropped.
func (e *Exit) Truncated() bool { return e.Dropped > 0 }

func (e *Exit) stream(want ...Stream) []byte {
	var b []byte
	for _, c := range e.Output {
		for _, w := range want {
			if c.Stream == w {
				b = append(b, c.Data...)
			}
		}
	}
	return b
}

// Start makes the process of a program and holds it before its exec, so that
// breakpoints can be set for its pid. It is user and group 1000, with no other
// groups, no way to gain privileges, /tmp as working directory and /dev/null as
// standard input. One that replaces the agent has /dev/null for its output as well.
func (a *Agent) Start(ctx context.Context, p Program) (*Process, error) {
	env := p.Env
	if env == nil {
		env = []string{"PATH=/bin:/bbin", "HOME=/tmp"}
	}
	landed, err := a.bring(ctx, p.Path, p.Binary)
	var r mailbox.Reply
	if err == nil {
		r, _, err = a.do(ctx, mailbox.Request{Op: mailbox.OpStart, Path: p.Path, Args: p.Args, Env: env, Keep: p.Keep, Landed: landed, Open: p.Open, Init: p.Init, Limit: int64(p.Limit)})
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	return &Process{PID: r.PID, Timer: r.Timer, a: a}, nil
}

// bring writes a program into the guest's memory, to the pages of a file that it
// has for that, and reports whether that file is the program. What is larger than
// the file is brought in parts.
func (a *Agent) bring(ctx context.Context, to string, program []byte) (landed bool, err error) {
	if len(program) > MaxProgram {
		return false, fmt.Errorf("%w: %s has %d bytes, at most %d can be brought", ErrTooLarge, path.Base(to), len(program), MaxProgram)
	}
	if program != nil && a.landed {
		return false, errLanded
	}
	a.landed = a.landed || program != nil
	room := len(a.Landing) * mailbox.PageSize
	if len(program) <= room {
		return program != nil, a.land(ctx, program, false)
	}
	for len(program) > 0 {
		part := program[:min(len(program), room)]
		program = program[len(part):]
		if err := a.land(ctx, part, true); err != nil {
			return false, err
		}
		if _, _, err := a.do(ctx, mailbox.Request{Op: mailbox.OpStore, Path: to, Size: len(part)}); err != nil {
			return false, err
		}
	}
	return false, nil
}

// errLanded says that a guest takes one program: the landing is the file of one that
// may still run.
var errLanded = errors.New("a program was brought into this guest before: take another guest")

// land fills the landing, which is all zeros unless it was used before.
func (a *Agent) land(ctx context.Context, program []byte, used bool) error {
	var zero [mailbox.PageSize]byte
	var filled []Piece
	for _, p := range pieces(a.Landing, program) {
		if used || !bytes.Equal(p.Buf, zero[:len(p.Buf)]) {
			filled = append(filled, p)
		}
	}
	if len(filled) == 0 {
		return nil
	}
	if err := a.memory.WritePhysical(ctx, filled); err != nil {
		return fmt.Errorf("write the program into the guest: %w", err)
	}
	return nil
}

// Release asks the agent to let the process exec its program once the guest goes
// on. The agent's next mark is the program's end, for which [Process.Exit] is.
// limit is what the program may take of the guest's time before it is killed, 0 for
// DefaultLimit.
func (p *Process) Release(ctx context.Context, limit time.Duration) error {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return p.wrap("let go", p.a.put(ctx, mailbox.Request{Op: mailbox.OpRun, PID: p.PID, Limit: int64(limit)}))
}

// Exit returns how the program ended, in a guest that stands at the mark that its
// agent makes then. Output and processes that the program left behind have had a
// quarter of a second of the guest's time to end.
func (p *Process) Exit(ctx context.Context) (Exit, error) {
	r, blob, err := p.a.answer(ctx)
	if err == nil && r.Exit == nil {
		err = fmt.Errorf("%w: no exit in the reply", mailbox.ErrMessage)
	}
	if err != nil {
		return Exit{}, p.wrap("wait for", err)
	}
	return exitFrom(*r.Exit, blob)
}

// Run lets the process go and returns how it ended.
func (p *Process) Run(ctx context.Context, limit time.Duration) (Exit, error) {
	if err := p.Release(ctx, limit); err != nil {
		return Exit{}, err
	}
	if err := p.a.resume(ctx); err != nil {
		return Exit{}, p.wrap("wait for", err)
	}
	return p.Exit(ctx)
}

// Resumed returns a process of a copy of the guest that had it.
func (a *Agent) Resumed(pid int) *Process { return &Process{PID: pid, a: a} }

func (p *Process) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s process %d: %w", op, p.PID, err)
}

func exitFrom(w mailbox.Exit, blob []byte) (Exit, error) {
	e := Exit{
		Code:       w.Code,
		Signal:     syscall.Signal(w.Signal),
		CoreDumped: w.Core,
		ExecError:  w.ExecError,
		User:       time.Duration(w.UserUS) * time.Microsecond,
		System:     time.Duration(w.SystemUS) * time.Microsecond,
		Dropped:    w.Dropped,
		Leftover:   w.Leftover,
		Killed:     w.Killed,
		TimedOut:   w.TimedOut,
		Stuck:      w.Stuck,
	}
	for _, p := range w.Pieces {
		if p.Len < 0 || p.Len > len(blob) {
			return Exit{}, fmt.Errorf("%w: piece of %d bytes in %d of output", mailbox.ErrMessage, p.Len, len(blob))
		}
		e.Output = append(e.Output, Chunk{Stream: Stream(p.Stream), Data: blob[:p.Len:p.Len]})
		blob = blob[p.Len:]
	}
	return e, nil
}
