package main

import (
	"strings"
	"sync"
)

// waiter keeps what is written to it and tells when a mark has come by.
type waiter struct {
	mark string
	seen chan struct{}

	mu   sync.Mutex
	text strings.Builder
	told bool
}

func (w *waiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.mark) {
		w.told = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *waiter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
