package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove the cache: kernels, initramfs, indexes; what is needed is fetched again",
		Long:  `clean removes the cache. It removes nothing while another lab uses it, and says so.`,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			freed, err := a.cache.Clean(cmd.Context())
			if err != nil {
				return err
			}
			root, err := a.cache.Root()
			fmt.Fprintf(a.stdout, "removed %.1f MB from %s\n", float64(freed)/1e6, root)
			return err
		},
	}
}

// hold keeps the cache from lab clean until the command ends, and sweeps it.
func (a *app) hold(ctx context.Context) error {
	if a.release != nil {
		return nil
	}
	release, err := a.cache.Hold(ctx)
	if err != nil {
		return err
	}
	a.release = release
	a.sweep()
	return nil
}

// sweep removes what killed processes left in the cache. A command needs none of
// that gone, so an error is a warning.
func (a *app) sweep() {
	if err := a.cache.Sweep(); err != nil {
		fmt.Fprintf(a.stderr, "lab: warning: %v: check its permissions and the disk; lab goes on\n", err)
	}
}
