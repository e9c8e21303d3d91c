package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
)

func (a *app) kernelsCommand() *cobra.Command {
	cmd := commands.Group("command", &cobra.Command{
		Use:   "kernels",
		Short: "The kernels that labs run on: list, fetch, add",
	})
	cmd.AddCommand(a.kernelsListCommand(), a.kernelsFetchCommand(), a.kernelsAddCommand())
	return cmd
}

func (a *app) kernelsListCommand() *cobra.Command {
	var machines, format string
	var offline bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the kernels in the cache and those that Debian offers",
		Args:  commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kernels, failed := a.host().List(cmd.Context(), machines, offline)
			if usage.Is(failed) || failed != nil && len(kernels) == 0 {
				return failed // and no half of a table
			}
			doc := map[string]any{"schema": "lab.kernels/1", "kernels": kernels}
			return errors.Join(a.write(format, doc, func(w io.Writer) error { return prepare.WriteList(w, kernels) }), failed)
		},
	}
	archFlag(cmd, &machines, "all")
	cmd.Flags().BoolVar(&offline, "cached", false, "only those in the cache; needs no network")
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}

// kernelLine prints a kernel that is in the cache, and the path of its vmlinux if there is
// one.
func (a *app) kernelLine(arch, release, path, vmlinux string) {
	line := fmt.Sprintf("%s\t%s\t%s\t%s", arch, release, path, vmlinux)
	fmt.Fprintln(a.stdout, strings.TrimSuffix(line, "\t"))
}

func (a *app) kernelsFetchCommand() *cobra.Command {
	var machines string
	var refresh, debug bool
	cmd := &cobra.Command{
		Use:   "fetch K…",
		Short: "Bring kernels into the cache",
		Long: `fetch brings kernels of Debian into the cache: a series (6.12), an exact version
(6.12.107) or either with a flavour (6.12-amd64, 7.2-rt). Without K, the default
kernel of each architecture.

--debug brings the vmlinux of the same build too. With it backtraces have source
lines, inlined functions, arguments and locals. It takes 300 MB to download and
up to 600 MB of disk for x86_64, and 1 GB to download for riscv64.`,
		Example: "  lab kernels fetch 6.1 6.12 7.2\n  lab kernels fetch --arch riscv64 --refresh 6.12\n  lab kernels fetch --arch x86_64 --debug 6.12",
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := a.hold(cmd.Context())
			if err != nil {
				return err
			}
			found, err := host.Open(cmd.Context(), prepare.Kernels{Arch: machines, Names: args, Fetch: host.Fetcher(refresh, debug)})
			for _, t := range found {
				vmlinux := ""
				if debug {
					vmlinux = t.Image.DebugFile()
				}
				a.kernelLine(t.Arch.Name, t.Image.Release, t.Path, vmlinux)
			}
			return err
		},
	}
	archFlag(cmd, &machines, "all")
	cmd.Flags().BoolVar(&debug, "debug", false, "bring the vmlinux with debug information too")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the mirror for newer builds, also when the cache has one")
	return cmd
}

func (a *app) kernelsAddCommand() *cobra.Command {
	var image, vmlinux string
	cmd := &cobra.Command{
		Use:     "add --image FILE [--vmlinux FILE]",
		Short:   "Copy a kernel image of your own into the cache",
		Example: "  lab kernels add --image arch/x86/boot/bzImage --vmlinux vmlinux\n  lab run fork-new --kernel 6.19.0-rc3",
		Args:    commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if image == "" {
				return usage.Errorf("kernels add needs --image FILE")
			}
			host, err := a.hold(cmd.Context())
			if err != nil {
				return err
			}
			k, err := host.Add(cmd.Context(), image, vmlinux)
			if err != nil {
				return err
			}
			a.kernelLine(k.Arch, k.Release, k.Path, k.Vmlinux)
			return nil
		},
	}
	cmd.Flags().Var(flags.Text(&image, "", flags.InFile), "image", "image file: bzImage, vmlinux or riscv64 Image")
	cmd.Flags().Var(flags.Text(&vmlinux, "", flags.InFile), "vmlinux", "the vmlinux of the same build, with debug information; kept beside it")
	cmd.MarkFlagFilename("image")
	cmd.MarkFlagFilename("vmlinux")
	return cmd
}
