package linux

import (
	"context"
	"slices"

	"kernellab/images"
)

// All returns the kernels that Debian's suites offer and those that are cached,
// newest first. A cached one that no suite offers any more is Gone. When the
// suites can not be read the cached ones are returned beside the error.
func (s Store) All(ctx context.Context, arch string, p images.Progress) ([]Kernel, error) {
	cached, err := s.Kernels(arch)
	if err != nil {
		return nil, err
	}
	offered, err := s.Offered(ctx, arch, p)
	if err != nil {
		return cached, err
	}
	all := slices.Clone(offered)
	for _, k := range cached {
		if slices.ContainsFunc(offered, func(o Kernel) bool { return o.Release == k.Release }) {
			continue
		}
		k.Gone = !k.Local
		all = append(all, k)
	}
	sortKernels(all)
	return all, nil
}
