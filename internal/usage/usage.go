// Package usage has the errors that are mistakes of whoever calls the program, as
// opposed to failures of a run: the program exits with another code for them.
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

// Wrap makes err a mistake of the caller. Its text stays.
func Wrap(err error) error { return Error{err} }

// Is reports whether err is, or wraps, a mistake of the caller.
func Is(err error) bool {
	var e Error
	return errors.As(err, &e)
}

// Unknown is the error for a word that is not among the known ones. It suggests
// the nearest of them; hint says where all are listed.
func Unknown(kind, word string, known []string, hint string) error {
	return Errorf("unknown %s %q%s (%s)", kind, word, nearest.Suggest(word, known), hint)
}
