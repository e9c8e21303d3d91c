// Package usage marks errors that are mistakes of the program's caller. The program
// exits with a different code for them than for failures of a run.
package usage

import (
	"errors"
	"fmt"

	"kernellab/internal/nearest"
)

// Error is a mistake of the caller.
type Error struct{ err error }

func (e Error) Error() string { return e.err.Error() }

func (e Error) Unwrap() error { return e.err }

// Errorf is fmt.Errorf for a mistake of the caller.
func Errorf(format string, args ...any) error { return Error{fmt.Errorf(format, args...)} }

// Wrap marks err as a mistake of the caller. It does not change the text.
func Wrap(err error) error { return Error{err} }

// Is reports whether err is, or wraps, a mistake of the caller.
func Is(err error) bool {
	var e Error
	return errors.As(err, &e)
}

// Unknown returns the error for an unknown word. It suggests similar known words. hint
// says where the known words are listed.
func Unknown(kind, word string, known []string, hint string) error {
	return Errorf("unknown %s %q%s (%s)", kind, word, nearest.Suggest(word, known), hint)
}
