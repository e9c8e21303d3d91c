package harness

import (
	"context"
	"io"
	"os"
	"time"
)

// TryMoments boots the job's machine once, saves it at each of the moments after
// its agent's hello, and returns what is wrong with the copy of each.
func (j Job) TryMoments(ctx context.Context, ram *os.File, moments []time.Duration) ([]error, error) {
	c := j.config()
	if err := ram.Truncate(c.Size()); err != nil {
		return nil, err
	}
	c.RAM = ram
	m, err := await(ctx, c, j.Image.Release, asked(0, bootLimit, 1), 1, io.Discard)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var wrong []error
	for _, moment := range moments {
		state, err := j.save(ctx, m, moment)
		if err != nil {
			return nil, err
		}
		_, err = j.tryOut(ctx, c, saved{ram: ram, state: state})
		wrong = append(wrong, err)
		if err := m.VM.Cont(ctx); err != nil {
			return nil, err
		}
	}
	return wrong, nil
}
