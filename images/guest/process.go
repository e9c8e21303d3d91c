package guest

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"kernellab/images/guest/wire"
)

// Program is what to run.
type Program struct {
	Path string
	// Args is the whole argument vector; nil means the base name of Path.
	Args []string
	// Env replaces the environment PATH=/bin:/bbin, HOME=/tmp.
	Env []string
	// Keep bounds the output that is kept, in bytes: 256 KiB when zero, 4
	// MiB at most. The rest is counted.
	Keep int
	// Landed says that the program is what the host has written where
	// Agent.Landing tells, not what stands at Path.
	Landed bool
	// Writable are files below /sys that the program may write to,
	// though only root could: a switch of the kernel that a lab is about.
	Writable []string
}

// Process is a program of the guest.
type Process struct {
	// PID is the process's number in the guest. It has it before its exec.
	PID int

	a     *Agent
	call  uint64        // that let it go
	ended chan struct{} // nil before Go, closed with exit and err set
	exit  Exit
	err   error
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
// standard input.
func (a *Agent) Start(ctx context.Context, p Program) (*Process, error) {
	env := p.Env
	if env == nil {
		env = []string{"PATH=/bin:/bbin", "HOME=/tmp"}
	}
	r, err := a.do(ctx, wire.Request{Op: wire.OpStart, Path: p.Path, Args: p.Args, Env: env, Keep: p.Keep, Landed: p.Landed, Writable: p.Writable}, nil)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	return &Process{PID: r.PID, a: a}, nil
}

// Go lets the process exec its program, unless it has been let go. The agent
// answers before it does, so Go returns even if the program's first instruction
// stops the guest.
func (p *Process) Go(ctx context.Context) error {
	if p.ended != nil {
		return nil
	}
	c, err := p.a.send(ctx, wire.Request{Op: wire.OpGo, PID: p.PID})
	if err != nil {
		return p.wrap("let go", err)
	}
	r, err := p.a.next(ctx, c)
	if err == nil && !r.More {
		err = fmt.Errorf("%w: the agent tells of an end only", wire.ErrMessage)
	}
	if err != nil {
		p.a.forget(c)
		return p.wrap("let go", err)
	}
	p.await(c)
	return nil
}

// await takes in how a program ends that was let go by a call, without another
// request: at a stop of the program nothing is on its way to the guest.
func (p *Process) await(c *call) {
	p.ended, p.call = make(chan struct{}), c.id
	go func() { // ends with the session
		defer close(p.ended)
		defer p.a.forget(c)
		r, err := p.a.next(context.Background(), c)
		p.exit, p.err = exitOf(r, err)
	}()
}

// Wait returns how the program ended, once it has. Output and processes that it
// left behind have a quarter of a second of the guest's time to end. Wait may be
// called again, by any number of goroutines, after Go has returned.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if p.ended == nil { // killed before it was let go
		e, err := exitOf(p.a.do(ctx, wire.Request{Op: wire.OpWait, PID: p.PID}, nil))
		return e, p.wrap("wait for", err)
	}
	if err := p.a.until(ctx, p.ended); err != nil {
		return Exit{}, p.wrap("wait for", err)
	}
	return p.exit, p.wrap("wait for", p.err)
}

func exitOf(r reply, err error) (Exit, error) {
	if err != nil {
		return Exit{}, err
	}
	if r.Exit == nil {
		return Exit{}, fmt.Errorf("%w: no exit in the reply", wire.ErrMessage)
	}
	return exitFrom(*r.Exit, r.blob)
}

// Run lets the process go and returns how it ended.
func (p *Process) Run(ctx context.Context) (Exit, error) {
	if err := p.Go(ctx); err != nil {
		return Exit{}, err
	}
	return p.Wait(ctx)
}

// Session is what goes on with the run of a program in a copy of its guest. It
// holds the session's key.
type Session struct {
	Link wire.Session
	Call uint64 // that let the program go
	PID  int
}

// Session returns what [Resume] needs in a copy of the guest, made while it is
// stopped between Go and the program's end.
func (p *Process) Session() Session {
	return Session{Link: p.a.link.Session(), Call: p.call, PID: p.PID}
}

// Resume goes on with a session in a copy of its guest, which need not run yet.
func Resume(console io.ReadWriter, o Options, s Session) (*Agent, *Process) {
	c := newCall()
	c.id = s.Call
	a := attach(console, o, &s.Link, map[uint64]*call{c.id: c})
	a.mu.Lock()
	a.nextID = max(a.nextID, s.Call)
	a.mu.Unlock()
	p := &Process{PID: s.PID, a: a}
	p.await(c)
	return a, p
}

// Kill ends the program and all that it started, and returns when they are
// gone. Killing a program that has ended is no error.
func (p *Process) Kill(ctx context.Context) error {
	_, err := p.a.do(ctx, wire.Request{Op: wire.OpKill, PID: p.PID}, nil)
	return p.wrap("kill", err)
}

func (p *Process) wrap(op string, err error) error {
	return wrap(fmt.Sprintf("%s process %d", op, p.PID), err)
}

func exitFrom(w wire.Exit, blob []byte) (Exit, error) {
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
	}
	for _, p := range w.Pieces {
		if p.Len < 0 || p.Len > len(blob) {
			return Exit{}, fmt.Errorf("%w: piece of %d bytes in %d of output", wire.ErrMessage, p.Len, len(blob))
		}
		e.Output = append(e.Output, Chunk{Stream: Stream(p.Stream), Data: blob[:p.Len:p.Len]})
		blob = blob[p.Len:]
	}
	return e, nil
}
