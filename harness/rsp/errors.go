package rsp

import (
	"errors"
	"fmt"
	"strconv"
)

// Errors that callers test for with errors.Is.
var (
	// ErrClosed says that the connection is gone: QEMU ended, or Close or
	// Detach was called.
	ErrClosed = errors.New("connection to the stub is closed")
	// ErrBroken says that the client closed the connection because it could no
	// longer match replies to requests.
	ErrBroken = errors.New("connection to the stub is broken, attach again")
	// ErrTimeout says that the stub did not answer within Options.Timeout.
	ErrTimeout = errors.New("no answer from the stub in time")
	// ErrRunning says that the call needs a halted guest.
	ErrRunning = errors.New("guest is running, wait for a stop or interrupt it first")
	// ErrNotRunning says that there is no stop to wait for.
	ErrNotRunning = errors.New("guest is not running, resume it first")
	// ErrUnsupported says that the stub does not know the packet.
	ErrUnsupported = errors.New("stub does not support this packet")
	// ErrFault says that the stub could not access memory: it is not mapped, or
	// not accessible in the CPU's present mode. An *Error with E14 matches it.
	ErrFault = errors.New("memory cannot be accessed")
)

// An OpError is the error of every method of Client.
type OpError struct {
	// Op is the operation, such as "read memory".
	Op string
	// Packet is the payload that was sent, or empty if none was.
	Packet string
	// Err is the cause: a sentinel of this package, an *Error, or the
	// context's error.
	Err error
}

func (e *OpError) Error() string {
	if e.Packet == "" {
		return fmt.Sprintf("rsp %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("rsp %s: %q: %v", e.Op, clip(e.Packet), e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

func opError(op, packet string, err error) error {
	if err == nil {
		return nil
	}
	if inner := (*OpError)(nil); errors.As(err, &inner) {
		return err
	}
	return &OpError{Op: op, Packet: packet, Err: err}
}

// QEMU writes errno values in decimal digits after the E.
const errnoFault = 14

// An Error is an Exx reply.
type Error struct {
	// Code is the number after the E, read as decimal digits, because QEMU
	// puts errno values there: 14 is EFAULT, 22 is EINVAL. It is 0 for a
	// textual error.
	Code int
	// Message is the text of an "E.message" reply.
	Message string
}

func (e *Error) Error() string {
	switch {
	case e.Message != "":
		return "stub replied " + strconv.Quote(e.Message)
	case e.Code == errnoFault:
		return "stub replied E14: memory is not mapped, or not readable in the CPU's present mode"
	case e.Code == 22:
		return "stub replied E22: an argument of this packet is invalid"
	}
	return fmt.Sprintf("stub replied E%02d", e.Code)
}

// Is reports whether target is ErrFault and e an E14 reply.
func (e *Error) Is(target error) bool { return target == ErrFault && e.Code == errnoFault }

// replyError returns the error that a reply reports, or nil. A reply with data never
// starts with a capital E, because QEMU writes hexadecimal digits in lower case.
func replyError(reply []byte) error {
	switch {
	case len(reply) == 0:
		return ErrUnsupported
	case len(reply) == 3 && reply[0] == 'E':
		if code, err := strconv.Atoi(string(reply[1:])); err == nil {
			return &Error{Code: code}
		}
		if code, err := strconv.ParseUint(string(reply[1:]), 16, 8); err == nil {
			return &Error{Code: int(code)}
		}
	case len(reply) > 2 && reply[0] == 'E' && reply[1] == '.':
		return &Error{Message: string(reply[2:])}
	}
	return nil
}

// okError is replyError for packets that the stub answers with OK.
func okError(reply []byte) error {
	if string(reply) == "OK" {
		return nil
	}
	if err := replyError(reply); err != nil {
		return err
	}
	return unexpected(reply)
}

func unexpected(reply []byte) error {
	return fmt.Errorf("unexpected reply %q", clip(string(reply)))
}

func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
