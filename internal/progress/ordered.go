package progress

import (
	"bytes"
	"io"
	"sync"
)

// Ordered lets concurrent runs write to one writer in the order of the runs. It buffers
// the output of a run until all previous runs have ended.
type Ordered struct {
	w io.Writer

	mu   sync.Mutex
	now  int
	kept []bytes.Buffer
	over []bool
}

// NewOrdered returns an Ordered for n runs that writes to w.
func NewOrdered(w io.Writer, n int) *Ordered {
	return &Ordered{w: w, kept: make([]bytes.Buffer, n), over: make([]bool, n)}
}

// Writer returns the writer of run i, from 0.
func (t *Ordered) Writer(i int) io.Writer { return orderedWriter{t, i} }

type orderedWriter struct {
	t *Ordered
	i int
}

func (w orderedWriter) Write(p []byte) (int, error) {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	if w.i == w.t.now {
		return w.t.w.Write(p)
	}
	return w.t.kept[w.i].Write(p)
}

// End must be called once for each run, after its last write. It writes the buffered
// output of later runs that are next.
func (t *Ordered) End(i int) error {
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
