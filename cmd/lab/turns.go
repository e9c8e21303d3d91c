package main

import (
	"bytes"
	"io"
	"sync"
)

// turns lets several runs that go on at once write to one place, each whole and
// in order: what a run says before its turn is kept until then.
type turns struct {
	w io.Writer

	mu   sync.Mutex
	now  int
	kept []bytes.Buffer
	over []bool
}

func newTurns(w io.Writer, n int) *turns {
	return &turns{w: w, kept: make([]bytes.Buffer, n), over: make([]bool, n)}
}

// writer is for the run of that number, from 0.
func (t *turns) writer(i int) io.Writer { return turn{t, i} }

type turn struct {
	t *turns
	i int
}

func (w turn) Write(p []byte) (int, error) {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if w.i == w.t.now {
		return w.t.w.Write(p)
	}
	return w.t.kept[w.i].Write(p)
}

// end is called once for each run, when it has said all. The error is that of
// writing what others had kept.
func (t *turns) end(i int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over[i] = true
	for t.now < len(t.over) && t.over[t.now] {
		if t.now++; t.now == len(t.over) {
			break
		}
		if _, err := t.kept[t.now].WriteTo(t.w); err != nil {
			return err
		}
	}
	return nil
}
