package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/internal/commands"
)

func (a *app) cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove the cache: kernels, initramfs, indexes; what is needed is fetched again",
		Long:  `clean removes the cache. It removes nothing while another lab uses it, and says so.`,
		Args:  commands.None,
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
