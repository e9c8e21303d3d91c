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

// GuestError means that the kernel is at fault, not the program that ran on it: it did
// not boot, it panicked, or it hung. The run cannot be graded.
type GuestError struct {
	// What happened, as a predicate: "panicked".
	What    string
	Kernel  string
	Console []string // the last lines
	// Oops is set when the kernel died.
	Oops bool
	// Hung is set if the kernel stopped answering, and Ran if it had everything it
	// needs from the host to answer.
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

// Error means that the harness could not do its work: QEMU is missing or was killed,
// the debugger's connection broke, or a point does not resolve. The run cannot be
// graded.
type Error struct {
	Op      string
	Console []string
	Err     error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// LimitError means that something took longer than a limit of the host's time.
type LimitError struct {
	What  string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s took more than %s", e.What, e.Limit)
}

// Console returns the last lines of the guest's console from err, nil if it has none.
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

// Describe returns err's message and, on lines that start with margin, the end of the
// guest's console if err has it.
func Describe(err error, margin string) string {
	text := err.Error() + "\n"
	for _, line := range Console(err) {
		text += margin + "| " + line + "\n"
	}
	return text
}

// Died reports whether err means that the kernel died.
func Died(err error) bool {
	var g *GuestError
	return errors.As(err, &g) && g.Oops
}

// OverdueError means that the agent did not answer by the time, on the guest's clock,
// by which it answers whatever a program does.
type OverdueError struct {
	What string
	Late time.Duration // by the guest's clock
}

func (e *OverdueError) Error() string {
	return fmt.Sprintf("%s is overdue by %s of the guest's time", e.What, e.Late.Round(time.Millisecond))
}

// BroughtDown reports whether a program in the machine can have caused err: the kernel
// died or kept its agent from answering, QEMU crashed or ran without progress, or the
// agent's messages were overwritten. A cause that is only possible on the host is not
// one: QEMU was killed or stopped, or had no processor time or memory.
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

// Retryable reports whether a second attempt may succeed, because the failure came from
// outside the guest: from QEMU, the debugger, or the host's time. A guest that fails by
// itself fails again.
func Retryable(err error) bool {
	var g *GuestError
	if errors.As(err, &g) {
		return g.Hung
	}
	var ended *qemu.ExitError
	return errors.As(err, &ended) || errors.Is(err, rsp.ErrClosed) || errors.Is(err, rsp.ErrBroken) || errors.Is(err, rsp.ErrTimeout)
}

// starved and busy are the shares of the host's time between which QEMU's processor time
// says that the host is too busy: less, and QEMU was stopped; more, and it makes no progress.
const (
	starved = 0.05
	busy    = 0.5
)

// patient returns a context that ends, with context.DeadlineExceeded as its cause, when a
// limit of the host's time has passed. A host that gave QEMU a small share of that time
// is only busy: the limit begins again, until QEMU's own processor time reaches it.
func patient(ctx context.Context, vm interface{ Used() time.Duration }, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		began := vm.Used()
		used := began
		tick := time.NewTicker(limit)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := vm.Used()
			share := float64(now-used) / float64(limit)
			if share < starved || share > busy || now-began >= limit {
				cancel(context.DeadlineExceeded)
				return
			}
			used = now
		}
	}()
	return ctx, func() { cancel(nil) }
}

// limited returns the error of a step. timed is the context of the step, made from ctx.
// One exchange with the stub may take as long as the step, so either can hit its limit
// first.
func limited(ctx, timed context.Context, what string, limit time.Duration, err error) error {
	if err != nil && ctx.Err() == nil && (errors.Is(context.Cause(timed), context.DeadlineExceeded) || errors.Is(err, rsp.ErrTimeout)) {
		return &LimitError{What: what, Limit: limit}
	}
	return err
}
