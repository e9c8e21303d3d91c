// Package flock locks files with flock(2). The kernel releases a lock when
// its process ends. Only the holder of a file's lock may remove the file: who waits for
// it makes a new one.
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

// ErrHeld is wrapped by Try's error if the file is locked already.
const ErrHeld = syscall.EWOULDBLOCK

// every is the interval between attempts, as a blocking flock(2) cannot be cancelled.
const every = 20 * time.Millisecond

// Wait waits for the lock of a file, which is created if it does not exist. Closing the
// returned file releases the lock.
func Wait(ctx context.Context, path string) (*os.File, error) {
	return wait(ctx, path, Try)
}

// Share is Wait for a shared lock, which any number of holders have at the same time
// while nobody has the lock of Wait.
func Share(ctx context.Context, path string) (*os.File, error) {
	return wait(ctx, path, func(path string) (*os.File, error) { return take(path, syscall.LOCK_SH) })
}

func wait(ctx context.Context, path string, try func(path string) (*os.File, error)) (*os.File, error) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		f, err := try(path)
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

// Try is Wait, but returns an error that wraps ErrHeld instead of waiting.
func Try(path string) (*os.File, error) { return take(path, syscall.LOCK_EX) }

func take(path string, how int) (*os.File, error) {
	for {
		f, err := lock(path, how)
		if err != nil {
			return nil, err
		}
		there, err := os.Stat(path)
		held, ferr := f.Stat()
		if err == nil && ferr == nil && os.SameFile(there, held) {
			return f, nil
		}
		f.Close() // its holder has removed it
		if err = errors.Join(ignoreMissing(err), ferr); err != nil {
			return nil, err
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lock opens a file and locks it.
func lock(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != syscall.EINTR {
			f.Close()
			return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
	}
}
