package machine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// share is a QEMU that gets a share of the host's time.
type share struct {
	of    float64
	began time.Time
}

func (s share) Used() time.Duration {
	return time.Duration(s.of * float64(time.Since(s.began)))
}

// A QEMU that was stopped, or runs without progress, is given up at the limit. One that has
// a small share of a busy host's processors may use as much processor time.
func TestPatient(t *testing.T) {
	const limit = time.Minute
	for name, c := range map[string]struct {
		share float64
		ends  time.Duration
	}{
		"stopped":   {0, limit},
		"starved":   {0.04, limit},
		"runs":      {1, limit},
		"busy host": {0.1, 10 * limit},
		"half":      {0.45, 3 * limit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := patient(t.Context(), share{c.share, began}, limit)
				defer cancel()
				<-ctx.Done()
				if took := time.Since(began); took != c.ends || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
					t.Errorf("ended after %s, want %s: %v", took, c.ends, context.Cause(ctx))
				}
			})
		})
	}
}
