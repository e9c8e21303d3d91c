package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
	"kernellab/images/guest/mailbox"
)

// tailLines is how many of the console's last lines an error shows.
const tailLines = 12

// GuestError says that the kernel, not the program that ran on it, is at fault:
// it did not boot, it panicked, it hung. The run can not be graded.
type GuestError struct {
	// What happened, in a sentence without its subject: "panicked".
	What    string
	Kernel  string
	Console []string // the last lines
	// Oops is set when the kernel died.
	Oops bool
	// Hung is set when it did not answer any more, and Ran when it had what it needs of
	// the host to do so.
	Hung, Ran bool
	Err       error
}

func (e *GuestError) Error() string {
	s := fmt.Sprintf("the kernel %s %s", e.Kernel, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *GuestError) Unwrap() error { return e.Err }

// Error says that the harness could not do its work: QEMU is missing or was
// killed, the debugger's connection broke, a point does not resolve. The run can
// not be graded.
type Error struct {
	Op      string
	Console []string
	Err     error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// LimitError says which limit of the host's time was hit.
type LimitError struct {
	What  string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s took more than %s", e.What, e.Limit)
}

// Console returns the last lines of the guest's console that err carries.
func Console(err error) []string {
	var g *GuestError
	if errors.As(err, &g) {
		return g.Console
	}
	var h *Error
	if errors.As(err, &h) {
		return h.Console
	}
	return nil
}

// Describe is err's message and, when it carries the end of the guest's console, that,
// a line each behind margin.
func Describe(err error, margin string) string {
	text := err.Error() + "\n"
	for _, line := range Console(err) {
		text += margin + "| " + line + "\n"
	}
	return text
}

// Died reports whether err is that the kernel died.
func Died(err error) bool {
	var g *GuestError
	return errors.As(err, &g) && g.Oops
}

// OverdueError says that the guest's time had passed by which its agent answers whatever
// a program does.
type OverdueError struct {
	What string
	Late time.Duration // by the guest's clock
}

func (e *OverdueError) Error() string {
	return fmt.Sprintf("%s is overdue by %s of the guest's time", e.What, e.Late.Round(time.Millisecond))
}

// BroughtDown reports whether err can be the doing of a program that ran in the machine:
// its kernel died, or did not let its agent answer; QEMU crashed, or ran on without
// getting anywhere; the agent's messages were overwritten. What only somebody on the host
// can do is not: QEMU was killed or stopped, or had no processor or no memory.
func BroughtDown(err error) bool {
	var g *GuestError
	if errors.As(err, &g) {
		return g.Oops || g.Ran
	}
	var ended *qemu.ExitError
	if errors.As(err, &ended) {
		return ended.Crashed()
	}
	return errors.Is(err, mailbox.ErrMessage)
}

// Retryable reports whether what failed may go well the next time, because
// something from outside ended it: QEMU, its debugger, or the host's time. What a
// guest does by itself it does again.
func Retryable(err error) bool {
	var g *GuestError
	if errors.As(err, &g) {
		return g.Hung
	}
	var ended *qemu.ExitError
	return errors.As(err, &ended) || errors.Is(err, rsp.ErrClosed) || errors.Is(err, rsp.ErrBroken) || errors.Is(err, rsp.ErrTimeout)
}

// limited is the error of a step that ctx, which timed is made from, did not end. One
// exchange with the stub may take as long as the step, so that either can be the first
// to end it.
func limited(ctx, timed context.Context, what string, limit time.Duration, err error) error {
	if err != nil && ctx.Err() == nil && (errors.Is(timed.Err(), context.DeadlineExceeded) || errors.Is(err, rsp.ErrTimeout)) {
		return &LimitError{What: what, Limit: limit}
	}
	return err
}
