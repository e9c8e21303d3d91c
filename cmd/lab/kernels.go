package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"kernellab/harness/kernel"
	"kernellab/images"
)

func (a *app) kernelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "The kernels that labs run on: list, fetch, add",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown("command", args[0], commandNames(cmd), "lab kernels --help lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.kernelsListCommand(), a.kernelsFetchCommand(), a.kernelsAddCommand())
	return cmd
}

func (a *app) kernelsListCommand() *cobra.Command {
	var machines, format string
	var offline bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the kernels in the cache and those that Debian offers",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listKernels(cmd, machines, format, offline)
		},
	}
	archFlag(cmd, &machines, "all")
	cmd.Flags().BoolVar(&offline, "cached", false, "only those in the cache; needs no network")
	textOrJSON(cmd, &format)
	return cmd
}

// listedKernel is a kernel in the list.
type listedKernel struct {
	images.Kernel
	Cached bool `json:"cached"`
}

func (a *app) listKernels(cmd *cobra.Command, machines, format string, offline bool) error {
	all, err := archs(machines)
	if err != nil {
		return err
	}
	p := newProgress(a.stderr)
	defer p.Done()
	kernels := []listedKernel{}
	var failed *multierror.Error
	for _, m := range all {
		var some []images.Kernel
		if offline {
			some, err = a.cache.Kernels(m.Name)
		} else {
			some, err = a.cache.All(cmd.Context(), m.Name, p.Report)
		}
		p.Done()
		if err != nil {
			failed = multierror.Append(failed, fmt.Errorf("%s: %w", m.Name, err))
		}
		for _, k := range some {
			kernels = append(kernels, listedKernel{Kernel: k, Cached: k.Path != ""})
		}
	}
	if format == "json" {
		if err := a.json(map[string]any{"schema": "lab.kernels/1", "kernels": kernels}); err != nil {
			return err
		}
		return failed.ErrorOrNil()
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ARCH\tVERSION\tFLAVOUR\tRELEASE\tFROM\tDOWNLOAD\tCACHED")
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Arch, k.Version, k.Flavour, k.Release, from, size, cached)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return failed.ErrorOrNil()
}

func (a *app) kernelsFetchCommand() *cobra.Command {
	var machines string
	var refresh bool
	cmd := &cobra.Command{
		Use:     "fetch K…",
		Short:   "Bring kernels into the cache",
		Long:    "fetch brings kernels of Debian into the cache: a series (6.12), an exact version (6.12.107) or either with a flavour (6.12-amd64, 7.2-rt). Without K, the default kernel of each architecture.",
		Example: "  lab kernels fetch 6.1 6.12 7.2\n  lab kernels fetch --arch riscv64 --refresh 6.12",
		RunE: func(cmd *cobra.Command, args []string) error {
			p := newProgress(a.stderr)
			defer p.Done()
			fetch := a.cache.Fetch
			if refresh {
				fetch = a.cache.FetchNewest
			}
			found, err := a.targets(cmd.Context(), machines, args, fetch, p)
			for _, t := range found {
				fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", t.arch.Name, t.image.Release, t.path)
			}
			return err
		},
	}
	archFlag(cmd, &machines, "all")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the mirror for newer builds, also when the cache has one")
	return cmd
}

func (a *app) kernelsAddCommand() *cobra.Command {
	var image, vmlinux string
	cmd := &cobra.Command{
		Use:     "add --image FILE",
		Short:   "Copy a kernel image of your own into the cache",
		Example: "  lab kernels add --image arch/x86/boot/bzImage\n  lab run fork-new --kernel 6.19.0-rc3",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if image == "" {
				return usagef("kernels add needs --image FILE")
			}
			im, err := kernel.Open(image)
			if err != nil {
				return fmt.Errorf("kernel %s: %w", image, err)
			}
			k, err := a.cache.Add(cmd.Context(), image, vmlinux, images.Identity{Arch: im.Arch, Release: im.Release})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s\t%s\t%s\n", k.Arch, k.Release, k.Path)
			return nil
		},
	}
	cmd.Flags().StringVar(&image, "image", "", "image file: bzImage, vmlinux or riscv64 Image")
	cmd.Flags().StringVar(&vmlinux, "vmlinux", "", "its vmlinux with debug information, kept beside it")
	cmd.MarkFlagFilename("image")
	cmd.MarkFlagFilename("vmlinux")
	return cmd
}
