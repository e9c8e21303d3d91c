// Package flock takes exclusive locks of files, flock(2), which the kernel lets go
// when the process that has one ends, however it ends. The files stay.
package flock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrHeld is what Try returns, wrapped, of a lock that another holder has.
const ErrHeld = syscall.EWOULDBLOCK

// every is how often a held lock is tried: flock(2) can not be cancelled.
const every = 20 * time.Millisecond

// Wait takes the lock of a file, which is made when there is none, once nobody
// else has it. Closing the file lets it go.
func Wait(ctx context.Context, path string) (*os.File, error) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		f, err := Try(path)
		if !errors.Is(err, ErrHeld) {
			return f, err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another process to release %s: %w", path, context.Cause(ctx))
		}
	}
}

// Try is Wait without waiting.
func Try(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != syscall.EINTR {
			f.Close()
			return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
	}
}
