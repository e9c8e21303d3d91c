package main

import (
	"context"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/commands"
	"kernellab/internal/console"
	"kernellab/internal/flags"
	"kernellab/labs"
)

func (a *app) shellCommand() *cobra.Command {
	var k prepare.Kernels
	var attach string
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Boot to the guest's shell, with the labs' programs in it",
		Long:  "shell boots a kernel to a shell on this terminal; the labs' programs are commands there. Ctrl-A x leaves.",
		Args:  commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if attach != "" {
				return a.terminal().Attach(cmd.Context(), a.progress, attach)
			}
			return a.shell(cmd.Context(), k)
		},
	}
	a.kernelFlag(cmd, &k)
	cmd.Flags().Var(flags.Text(&attach, "", console.CheckSocket), "attach", "the console of a guest that lab debug started, by its socket")
	return cmd
}

// shell boots to the guest's shell, in which the programs of more labs are commands too.
func (a *app) shell(ctx context.Context, k prepare.Kernels, more ...labs.Lab) error {
	host, targets, err := a.open(ctx, k)
	if err != nil {
		return err
	}
	return a.terminal().Shell(ctx, host, targets[0], more...)
}
