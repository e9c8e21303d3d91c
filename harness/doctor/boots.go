package doctor

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"kernellab/harness"
	"kernellab/harness/prepare"
	"kernellab/images/initramfs"
	"kernellab/internal/mapped"
)

// BootAll boots the named kernels n times each, or all in the cache.
func BootAll(ctx context.Context, h prepare.Host, k prepare.Kernels, n int) error {
	open := h.Open
	if len(k.Names) == 0 {
		open = func(_ context.Context, k prepare.Kernels) ([]prepare.Target, error) { return h.OpenCached(k.Arch) }
	}
	targets, err := open(ctx, k)
	for i := 0; err == nil && i < len(targets); i++ {
		err = Boot(ctx, h, targets[i], n)
	}
	return err
}

// Boot boots a target n times, several at a time, and records in the cache how many
// boots succeeded, for Examine to report.
func Boot(ctx context.Context, h prepare.Host, t prepare.Target, n int) error {
	if _, err := h.Command(ctx, t.Arch); err != nil {
		return err
	}
	initrd, err := initramfs.Base(ctx, h.Cache, t.Arch.GOARCH, h.Progress.Report)
	if err != nil {
		return err
	}
	spec, err := h.Spec(ctx, t, initrd, prepare.Machine{Cold: true})
	if err != nil {
		return err
	}
	spec.Stage = nil
	h.Progress.Say("booting %s %d times", t.Name(), n)
	// Machines with the same seed boot in the same way, so use other seeds than the
	// boots that are counted already.
	var counted uint32
	for _, b := range spec.Snapshots.Boots() {
		if b.Arch == t.Arch.Name && b.SHA256 == t.Image.SHA256 {
			counted += uint32(b.Tries)
		}
	}
	var done, crashed atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(harness.Room())
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			boot := spec
			boot.Seed = counted + uint32(i)
			var clean bool
			err := mapped.Guard(func() (err error) {
				clean, err = boot.TryBoot(ctx)
				return err
			})
			if err != nil {
				return fmt.Errorf("boot %s: %w", t.Name(), err)
			}
			if !clean {
				crashed.Add(1)
			}
			if count := done.Add(1); count%10 == 0 || count == int64(n) {
				h.Progress.Say("%s: %d of %d booted, %d of them crashed", t.Name(), count, n, crashed.Load())
			}
			return nil
		})
	}
	return g.Wait()
}
