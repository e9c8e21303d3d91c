package command

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCommandGroup cancels a command once a child of its child runs, which ends too.
func TestCommandGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	// The child's child alone holds the pipe open, so its end is the pipe's.
	path := filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		pipe, err := os.Open(path) // returns when the other end is open
		cancel()
		if err == nil {
			_, err = io.Copy(io.Discard, pipe)
			pipe.Close()
		}
		ended <- err
	}()
	_, err := Command{Path: "sh", Args: []string{"-c", "sleep 1000 > alive & wait"}, Dir: dir}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Minute):
		t.Fatal("the child's child has not ended")
	}
}
