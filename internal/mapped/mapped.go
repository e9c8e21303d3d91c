// Package mapped calls code that reads files mapped into memory. Reading a part of a
// mapped file that is no longer there, because the file was truncated or its disk fails,
// raises SIGBUS, which ends a Go program. [Guard] makes an error of it.
package mapped

import "runtime/debug"

// GoneError says that a part of a mapped file could not be read.
type GoneError struct{ Err error }

func (e *GoneError) Error() string {
	return "a file of the cache was truncated while lab used it, or its disk fails; run the command again, which makes anew what is damaged"
}

func (e *GoneError) Unwrap() error { return e.Err }

// Guard returns what do returns, or a *GoneError if do reads a part of a mapped file that
// is gone. It guards the goroutine that calls it, and none that do starts.
func Guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fault:
			// Nothing here uses unsafe pointers: an address that cannot be read is one of
			// a mapping. A nil pointer's has no Addr.
			err = &GoneError{p}
		default:
			panic(p)
		}
	}()
	return do()
}

// fault is the panic of an address that cannot be read: see debug.SetPanicOnFault.
type fault interface {
	error
	Addr() uintptr
}
