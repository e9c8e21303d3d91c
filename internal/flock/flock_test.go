package flock_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"kernellab/internal/flock"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := flock.Wait(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := flock.Try(path); !errors.Is(err, flock.ErrHeld) {
		t.Errorf("a lock that is held: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := flock.Wait(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that is called off: %v", err)
	}
	held.Close()
	again, err := flock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := flock.Try(filepath.Join(path, "x")); err == nil || errors.Is(err, flock.ErrHeld) {
		t.Errorf("no folder: %v", err)
	}
}
