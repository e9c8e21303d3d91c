package harness

import (
	"errors"
	"fmt"
	"strings"

	"kernellab/harness/qemu"
	"kernellab/harness/rsp"
)

// GuestError says that the kernel, not the program that ran on it, is at fault:
// it did not boot, it panicked, it hung. The run can not be graded.
type GuestError struct {
	// What happened, in a sentence without its subject: "panicked".
	What    string
	Kernel  string
	Console []string // the last lines
	// Oops is set when the kernel died by itself, which under emulation a second
	// try may mend.
	Oops bool
	// Hung is set when it did not answer any more.
	Hung bool
	Err  error
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

// isOops reports whether the kernel died by itself.
func isOops(err error) bool {
	var g *GuestError
	return errors.As(err, &g) && g.Oops
}

// mayPass reports whether a second try may not fail: the kernel died or hung, or
// QEMU or its debugger did. A kernel that does not come up in minutes will not.
func mayPass(err error) bool {
	var g *GuestError
	if errors.As(err, &g) {
		return g.Oops || g.Hung
	}
	var ended *qemu.ExitError
	return errors.As(err, &ended) || errors.Is(err, rsp.ErrClosed) || errors.Is(err, rsp.ErrBroken) || errors.Is(err, rsp.ErrTimeout)
}

// died picks the line of a dying kernel's console that says why.
func died(lines []string) string {
	for _, mark := range []string{"Kernel panic", "Oops", "BUG:", "general protection fault", "double fault", "Unable to handle"} {
		for _, line := range lines {
			if i := strings.Index(line, mark); i >= 0 {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	return ""
}
