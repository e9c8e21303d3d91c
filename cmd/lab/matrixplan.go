package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/regress"
	"kernellab/images"
	"kernellab/labs"
)

// matrixTarget is a kernel of a matrix. One that could not be had is a target
// too: its runs say why.
type matrixTarget struct {
	arch    arch.Arch
	release string // or what the kernel was asked for as
	path    string
	digest  string // SHA-256 of the image in hex, "" when it is not the cache's
	err     error
}

// matrixRun is one lab on one kernel.
type matrixRun struct {
	lab    labs.Lab
	target matrixTarget
	image  *kernel.Image // nil before the run began

	dir  string            // of its files, "" before it began
	keep func(bool) string // ends dir: see outDir
	kept string            // where a run that could not be graded left its files
}

func (r *matrixRun) name() string {
	on := strings.TrimSpace(r.target.release + " " + r.target.arch.Name)
	return r.lab.Name + " on " + on
}

// planMatrix finds the kernels and builds what the guests need. What can not be
// had is left to the runs that need it; only when nothing at all can be run is
// it an error.
func (a *app) planMatrix(ctx context.Context, chosen []labs.Lab, f matrixFlags, p *progress) ([]*matrixRun, error) {
	targets, err := a.matrixTargets(ctx, f, p)
	if err != nil {
		return nil, err
	}
	var runs []*matrixRun
	for _, t := range targets {
		for _, l := range chosen {
			if t.err == nil { // built before the runs begin; what is wrong with it is the run's error
				a.guestFiles(ctx, l, t.arch, p)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			runs = append(runs, &matrixRun{lab: l, target: t})
		}
	}
	return runs, nil
}

// matrixTargets finds the kernels of --kernel and --arch, in the order of their
// architectures and versions, each once.
func (a *app) matrixTargets(ctx context.Context, f matrixFlags, p *progress) ([]matrixTarget, error) {
	machines, err := archs(f.arch)
	if err != nil {
		return nil, err
	}
	var found []matrixTarget
	var missing []error
	for _, spec := range f.kernels {
		file, err := isFile(spec)
		if err != nil {
			return nil, err
		}
		if file {
			found = append(found, fileOf(spec, f.arch))
			continue
		}
		some, none, err := a.kernelsOf(ctx, machines, spec, p)
		if err != nil {
			return nil, err
		}
		found, missing = append(found, some...), append(missing, none...)
	}
	if len(f.kernels) == 0 {
		if found, err = a.cachedOrDefault(ctx, machines, p); err != nil {
			return nil, err
		}
	}
	if len(missing) > 0 && !slices.ContainsFunc(found, func(t matrixTarget) bool { return t.err == nil }) {
		return nil, usageError{errors.Join(missing...)}
	}
	order := arch.Names()
	slices.SortStableFunc(found, func(x, y matrixTarget) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, x.arch.Name), slices.Index(order, y.arch.Name)),
			regress.CompareReleases(x.release, y.release), cmp.Compare(x.release, y.release),
		)
	})
	return slices.CompactFunc(found, func(x, y matrixTarget) bool {
		return x.arch.Name == y.arch.Name && x.release == y.release && x.path == y.path
	}), nil
}

// fileOf is the target of an image file.
func fileOf(path, archFlag string) matrixTarget {
	t := matrixTarget{release: path, path: path}
	if archFlag != "all" {
		t.arch, _ = arch.Lookup(archFlag)
	}
	image, err := kernel.Open(path)
	if err != nil {
		t.err = fmt.Errorf("kernel %s: %w", path, err)
		return t
	}
	if t.arch.Name != "" && t.arch.Name != image.Arch {
		t.err = fmt.Errorf("kernel %s is for %s, not for --arch %s", path, image.Arch, archFlag)
		return t
	}
	t.release = image.Release
	if t.arch, err = arch.Lookup(image.Arch); err != nil {
		t.err = fmt.Errorf("kernel %s: %w", path, err)
	}
	return t
}

// kernelsOf finds a kernel by its name on each architecture, fetching it. A name
// that only some have is enough; one that none has is a target that says so.
func (a *app) kernelsOf(ctx context.Context, machines []arch.Arch, spec string, p *progress) (found []matrixTarget, missing []error, err error) {
	var absent []matrixTarget
	for _, m := range machines {
		k, err := a.cache.Fetch(ctx, m.Name, spec, p.Report)
		p.Done()
		t := matrixTarget{arch: m, release: k.Release, path: k.Path, digest: k.SHA256}
		var none *images.NotFoundError
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.As(err, &none):
			t.release, t.err = spec, err
			absent, missing = append(absent, t), append(missing, err)
			continue
		case err != nil:
			t.release, t.err = spec, fmt.Errorf("kernel %s for %s: %w", spec, m.Name, err)
		}
		found = append(found, t)
	}
	if len(found) == 0 {
		return absent, missing, nil
	}
	for _, err := range missing {
		p.Say("left out: %v", err)
	}
	return found, nil, nil
}

// cachedOrDefault are the kernels of a matrix that names none.
func (a *app) cachedOrDefault(ctx context.Context, machines []arch.Arch, p *progress) ([]matrixTarget, error) {
	var found []matrixTarget
	for _, m := range machines {
		all, err := a.cache.Kernels(m.Name)
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			found = append(found, matrixTarget{arch: m, release: k.Release, path: k.Path, digest: k.SHA256})
		}
		if len(all) == 0 {
			// One that there is not is a target that says so.
			some, _, err := a.kernelsOf(ctx, []arch.Arch{m}, images.DefaultSpec(m.Name), p)
			if err != nil {
				return nil, err
			}
			found = append(found, some...)
		}
	}
	return found, nil
}

// pending makes the job of a run.
func (a *app) pending(r *matrixRun, f matrixFlags, p *progress) harness.Pending {
	rules := r.lab.Rules(r.target.arch.Name)
	return harness.Pending{
		Rules: rules, Kernel: r.target.release,
		Prepare: func(ctx context.Context, stage func(string)) (harness.Job, error) {
			if r.target.err != nil {
				return harness.Job{}, r.target.err
			}
			stage("reading the kernel")
			image, err := a.openKernel(r.target.path, r.target.digest)
			if err != nil {
				return harness.Job{}, err
			}
			r.image = image
			name := strings.Join([]string{r.lab.Name, r.target.arch.Name, image.Release}, ".")
			const several = 2 // each run has a folder of its own, also when it is alone
			if r.dir, r.keep, err = a.outDir(ctx, f.out, name, several); err != nil {
				return harness.Job{}, err
			}
			job, err := a.job(ctx, r.lab, target{arch: r.target.arch, path: r.target.path, image: image}, f.machineFlags, p)
			if err != nil {
				return job, err
			}
			job.Again, job.Out, job.Machine.Stage, job.Machine.Snapshots.Warn = false, r.dir, stage, stage
			job.Retry = func(err error) { stage(fmt.Sprintf("once more, because %v", err)) }
			return job, nil
		},
	}
}

// end keeps what the run left.
func (r *matrixRun) end(done harness.Finished, asked bool) error {
	if r.image != nil {
		r.image.Keep()
	}
	if r.keep == nil {
		return nil
	}
	err := writeVerdict(r.dir, grade.NewDocument(done.Result))
	if to := r.keep(done.Err != nil); done.Err != nil {
		r.kept = to
	}
	if !asked {
		return nil
	}
	return err
}
