package flock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
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

// The holder of a lock may remove its file as the last thing that it does: who opened the
// removed file does not get its lock while another has that of the new file.
func TestRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var holders atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for held := 0; held < 500 && !t.Failed(); {
				f, err := flock.Try(path)
				if errors.Is(err, flock.ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				runtime.Gosched()
				holders.Add(-1)
				os.Remove(path)
				f.Close()
				held++
			}
		})
	}
	all.Wait()
}

// Holders share a lock with each other and with nobody else.
func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var held []*os.File
	for range 2 {
		f, err := flock.Share(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, f)
	}
	for _, f := range held {
		if _, err := flock.Try(path); !errors.Is(err, flock.ErrHeld) {
			t.Errorf("a lock that is shared: %v", err)
		}
		f.Close()
	}
	alone, err := flock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := flock.Share(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a share of a lock that is held: %v", err)
	}
}
