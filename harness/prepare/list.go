package prepare

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/hashicorp/go-multierror"

	"kernellab/harness/arch"
	"kernellab/images/linux"
)

// ListedKernel is a kernel in a list.
type ListedKernel struct {
	linux.Kernel
	Cached bool `json:"cached"`
	Debug  bool `json:"debug"` // its vmlinux is in the cache
}

// List lists the kernels in the cache, and with offline false those that Debian offers
// too. The error says which architectures could not be listed completely.
func (h Host) List(ctx context.Context, archName string, offline bool) ([]ListedKernel, error) {
	machines, err := Archs(archName)
	if err != nil {
		return nil, err
	}
	kernels := []ListedKernel{}
	var failed *multierror.Error
	for _, m := range machines {
		var some []linux.Kernel
		if offline {
			some, err = linux.In(h.Cache).Kernels(m.Name)
		} else {
			some, err = linux.In(h.Cache).All(ctx, m.Name, h.Progress.Report)
		}
		h.Progress.Done()
		if err != nil {
			failed = multierror.Append(failed, fmt.Errorf("%s: %w", m.Name, err))
		}
		for _, k := range some {
			kernels = append(kernels, ListedKernel{Kernel: k, Cached: k.Path != "", Debug: k.Vmlinux != ""})
		}
	}
	return kernels, failed.ErrorOrNil()
}

// CachedNames returns the series and versions of the kernels in the cache, sorted. Kernels
// that cannot be listed are left out.
func (h Host) CachedNames() []string {
	var names []string
	for _, m := range arch.All() {
		kernels, _ := linux.In(h.Cache).Kernels(m.Name)
		for _, k := range kernels {
			names = append(names, k.Series, k.Version)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// WriteList writes a list as a table.
func WriteList(to io.Writer, kernels []ListedKernel) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ARCH\tVERSION\tFLAVOUR\tRELEASE\tFROM\tDOWNLOAD\tCACHED\tDEBUG")
	for _, k := range kernels {
		from, size, cached := k.Suite, "-", "no"
		switch {
		case k.Local:
			from = "local file"
		case k.Gone:
			from += " (no longer)"
		}
		if k.DownloadSize > 0 {
			size = fmt.Sprintf("%.0f MB", float64(k.DownloadSize)/1e6)
		}
		if k.Cached {
			cached = "yes"
		}
		debug := "-"
		switch {
		case k.Debug:
			debug = "yes"
		case k.DebugSize > 0 && !k.Gone:
			debug = fmt.Sprintf("%.0f MB", float64(k.DebugSize)/1e6)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Arch, k.Version, k.Flavour, k.Release, from, size, cached, debug)
	}
	return w.Flush()
}
