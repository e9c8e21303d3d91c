package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"kernellab/harness"
	"kernellab/images"
)

// countBoots boots kernels n times each and leaves in the cache how many came up,
// which is what lab doctor shows: the named kernels, or all of the cache.
func (a *app) countBoots(ctx context.Context, n int, arch string, kernels []string) error {
	p := newProgress(a.stderr)
	defer p.Done()
	targets, err := a.bootTargets(ctx, arch, kernels, p)
	if err != nil {
		return err
	}
	for _, t := range targets {
		base, err := a.cache.Base(ctx, t.arch.GOARCH, p.Report)
		if err != nil {
			return err
		}
		if err := a.countTarget(ctx, n, t, base, p); err != nil {
			return err
		}
	}
	return nil
}

// bootTargets finds the kernels that are named, or all that need not be fetched.
func (a *app) bootTargets(ctx context.Context, arch string, kernels []string, p *progress) ([]target, error) {
	if len(kernels) > 0 {
		return a.targets(ctx, arch, kernels, a.cache.Fetch, p)
	}
	machines, err := archs(arch)
	if err != nil {
		return nil, err
	}
	var found []target
	for _, m := range machines {
		some, err := a.cache.Kernels(m.Name)
		if err != nil {
			return nil, err
		}
		for _, k := range some {
			cached := func(context.Context, string, string, images.Progress) (images.Kernel, error) { return k, nil }
			t, err := a.targets(ctx, m.Name, []string{k.Release}, cached, p)
			if err != nil {
				return nil, err
			}
			found = append(found, t...)
		}
	}
	if len(found) == 0 {
		return nil, usagef("no kernel in the cache: name one with --kernel, or fetch some with lab kernels fetch")
	}
	return found, nil
}

// countTarget boots one kernel n times.
func (a *app) countTarget(ctx context.Context, n int, t target, initrd string, p *progress) error {
	spec, err := a.spec(ctx, t, initrd, machineFlags{cold: true}, p)
	if err != nil {
		return err
	}
	spec.Stage = nil
	name := fmt.Sprintf("%s (%s)", t.image.Release, t.arch.Name)
	p.Say("booting %s %d times", name, n)
	// A machine boots in the same way each time: boots that add to what is counted
	// have other seeds than those before.
	var counted uint32
	for _, b := range spec.Snapshots.Boots() {
		if b.Arch == t.arch.Name && b.Kernel == t.image.Release {
			counted += uint32(b.Tries)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left, done, died atomic.Int64
	left.Store(int64(n))
	var workers sync.WaitGroup
	for range min(harness.Room(), n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				seed := left.Add(-1)
				if seed < 0 {
					return
				}
				boot := spec
				boot.Seed = counted + uint32(seed)
				clean, err := boot.TryBoot(ctx)
				if err != nil {
					cancel(fmt.Errorf("boot %s: %w", name, err))
					return
				}
				if !clean {
					died.Add(1)
				}
				if count := done.Add(1); count%10 == 0 || count == int64(n) {
					p.Say("%s: %d of %d booted, %d of them crashed", name, count, n, died.Load())
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}
