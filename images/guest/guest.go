// Package guest is the host's end of the agent that runs inside a guest: it runs
// programs through the agent and reads the guest's serial console.
//
// It knows nothing of what emulates the machine: whoever has the guest's debugger
// gives it a [Memory] and a [Resume]. The protocol is package mailbox's; the agent
// is the command in agent.
//
// The agent has a guest to itself and answers one request at a time. Between two
// the guest stands still. The agent's limits are of the guest's clock.
package guest

import (
	"context"
	"errors"
	"fmt"

	"kernellab/images/guest/mailbox"
)

// ShellMode on a kernel's command line makes the agent start a shell on the console
// instead of waiting for requests.
const ShellMode = "lab.mode=shell"

// InitMode is what makes the agent become a program of the guest, which is then its first
// process, with the console as its files.
func InitMode(program string) string { return "lab.mode=init lab.init=" + program }

// Memory is the physical memory of a guest that stands still.
type Memory interface {
	ReadPhysical(ctx context.Context, pieces []Piece) error
	WritePhysical(ctx context.Context, pieces []Piece) error
}

// Piece is a piece of memory: as many bytes as Buf holds.
type Piece struct {
	Addr uint64
	Buf  []byte
}

// Resume lets the guest go on to the next mark of its agent.
type Resume func(ctx context.Context) error

// Agent is a guest's agent. One goroutine may use it, while the guest stands at
// its mark.
type Agent struct {
	// Mailbox are the physical addresses of the mailbox's pages, and Landing of
	// those that a program is written to, in order. Copies of a guest have them in
	// common.
	Mailbox, Landing []uint64

	memory Memory
	resume Resume
	landed bool // a program was brought
}

// Greet reads the first message of an agent whose mailbox's directory is at a
// physical address.
func Greet(ctx context.Context, m Memory, resume Resume, directory uint64) (*Agent, error) {
	page := make([]byte, mailbox.PageSize)
	if err := m.ReadPhysical(ctx, []Piece{{directory, page}}); err != nil {
		return nil, fmt.Errorf("read the agent's mailbox: %w", err)
	}
	pages, err := mailbox.ReadDirectory(page)
	if err != nil {
		return nil, fmt.Errorf("read the agent's mailbox at %#x: %w", directory, err)
	}
	a := &Agent{Mailbox: pages, memory: m, resume: resume}
	hello, _, err := a.take(ctx)
	if err != nil {
		return nil, err
	}
	a.Landing = hello.Landing
	return a, nil
}

// With returns the agent of a copy of its guest.
func (a *Agent) With(m Memory, resume Resume) *Agent {
	return &Agent{Mailbox: a.Mailbox, Landing: a.Landing, memory: m, resume: resume}
}

// AgentError is the agent's refusal of a request.
type AgentError struct {
	Text string
}

func (e *AgentError) Error() string { return "the agent answered: " + e.Text }

// ReadFile returns the content of a file of the guest, read as root.
func (a *Agent) ReadFile(ctx context.Context, path string) ([]byte, error) {
	_, b, err := a.do(ctx, mailbox.Request{Op: mailbox.OpRead, Path: path})
	if err != nil {
		return nil, fmt.Errorf("read %s in the guest: %w", path, err)
	}
	return b, nil
}

// do sends a request, lets the guest go on, and returns the answer.
func (a *Agent) do(ctx context.Context, r mailbox.Request) (mailbox.Reply, []byte, error) {
	if err := a.put(ctx, r); err != nil {
		return mailbox.Reply{}, nil, err
	}
	if err := a.resume(ctx); err != nil {
		return mailbox.Reply{}, nil, err
	}
	return a.answer(ctx)
}

// answer reads the answer to a request, in as many pieces as it comes in.
func (a *Agent) answer(ctx context.Context) (mailbox.Reply, []byte, error) {
	var all []byte
	for {
		r, blob, err := a.take(ctx)
		all = append(all, blob...)
		if err == nil && r.Error != "" {
			err = &AgentError{Text: r.Error}
		}
		if err != nil || !r.More {
			return r, all, err
		}
		if err := a.put(ctx, mailbox.Request{Op: mailbox.OpNext}); err != nil {
			return r, nil, err
		}
		if err := a.resume(ctx); err != nil {
			return r, nil, err
		}
	}
}

// put puts a request into the mailbox.
func (a *Agent) put(ctx context.Context, r mailbox.Request) error {
	msg := mailbox.Join(&r, nil)
	b := make([]byte, min(4+len(msg), mailbox.Pages*mailbox.PageSize)) // a length and the message
	if err := mailbox.Put(b, msg); err != nil {
		return err
	}
	if err := a.memory.WritePhysical(ctx, pieces(a.Mailbox, b)); err != nil {
		return fmt.Errorf("write to the agent's mailbox: %w", err)
	}
	return nil
}

// take reads what is in the mailbox.
func (a *Agent) take(ctx context.Context) (r mailbox.Reply, blob []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the agent's mailbox: %w", err)
		}
	}()
	b := make([]byte, mailbox.PageSize)
	if err := a.memory.ReadPhysical(ctx, []Piece{{a.Mailbox[0], b}}); err != nil {
		return r, nil, err
	}
	n, err := mailbox.Length(b)
	if err != nil {
		return r, nil, err
	}
	if n > len(b) {
		b = make([]byte, n)
		if err := a.memory.ReadPhysical(ctx, pieces(a.Mailbox, b)); err != nil {
			return r, nil, err
		}
	}
	msg, err := mailbox.Take(b)
	if err != nil {
		return r, nil, err
	}
	blob, err = mailbox.Split(msg, &r)
	return r, blob, err
}

// pieces divides b over the pages.
func pieces(pages []uint64, b []byte) []Piece {
	var all []Piece
	for i := 0; len(b) > 0 && i < len(pages); i++ {
		n := min(len(b), mailbox.PageSize)
		all = append(all, Piece{pages[i], b[:n]})
		b = b[n:]
	}
	return all
}

// ErrTooLarge says that a program is larger than what a guest can be brought.
var ErrTooLarge = errors.New("the program is too large for the guest")
