package progress

import (
	"bytes"
	"io"
	"sync"
)

// Turns lets several runs that are made at once write to one place, in order and not
// mixed: what a run writes before its turn is kept until then.
type Turns struct {
	w io.Writer

	mu   sync.Mutex
	now  int
	kept []bytes.Buffer
	over []bool
}

// NewTurns returns the turns of n runs.
func NewTurns(w io.Writer, n int) *Turns {
	return &Turns{w: w, kept: make([]bytes.Buffer, n), over: make([]bool, n)}
}

// Writer returns where run i writes, from 0.
func (t *Turns) Writer(i int) io.Writer { return turn{t, i} }

type turn struct {
	t *Turns
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

// End is called once for each run, when it has written everything. The error is that
// of writing what others had kept.
func (t *Turns) End(i int) error {
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
