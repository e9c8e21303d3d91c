package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/images/emulator"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

// qemuFlag adds --qemu to every command.
func (a *app) qemuFlag(root *cobra.Command) {
	root.PersistentFlags().Var(flags.Text(&a.qemu.Value, ""), "qemu", "QEMU to use instead of lab's own: host for the one in PATH, an executable, or a folder of qemu-system-… programs (also "+prepare.QEMUEnv+")")
	root.RegisterFlagCompletionFunc("qemu", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{emulator.Host}, cobra.ShellCompDirectiveDefault
	})
}

// checkQEMU refuses a wrong --qemu or LAB_QEMU before anything is done. lab doctor
// reports it instead.
func (a *app) checkQEMU(cmd *cobra.Command) error {
	_, _, err := a.qemu.Other()
	if cmd.Name() == "doctor" && a.qemu.Value == "" {
		return nil
	}
	return err
}

func (a *app) qemuCommand() *cobra.Command {
	cmd := commands.Group("command", &cobra.Command{
		Use:   "qemu",
		Short: "The QEMU that guests run in: list, fetch",
		Long: `lab brings its own QEMU, of Debian's packages with every library it needs. It is
fetched on first use, needs no privileges, and is the same on every host.

--qemu or LAB_QEMU choose another one: host for the programs in PATH, an executable,
or a folder of qemu-system-… programs. The host's wall clock stands still for lab's own
QEMU; on another one a run in some hundred may differ from the others.`,
	})
	cmd.AddCommand(a.qemuListCommand(), a.qemuFetchCommand())
	return cmd
}

func (a *app) qemuFetchCommand() *cobra.Command {
	var refresh bool
	cmd := &cobra.Command{
		Use:   "fetch",
		Short: "Bring lab's own QEMU into the cache",
		Long: `fetch brings lab's own QEMU into the cache, through apt-get and from the mirror of
the host's apt sources (or LAB_DEBIAN_MIRROR), without privileges. It downloads 55 MB
and takes 85 MB of disk.`,
		Args: commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := a.hold(cmd.Context())
			if err != nil {
				return err
			}
			q, err := host.FetchQEMU(cmd.Context(), refresh)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s\t%s\n", q.Version, q.Dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&refresh, "refresh", false, "ask the mirror for a newer build, also when the cache has one")
	return cmd
}

func (a *app) qemuListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the QEMUs there are, and say which is used",
		Args:  commands.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, why, err := a.host().QEMUs(cmd.Context())
			if err != nil {
				return err
			}
			doc := map[string]any{"schema": "lab.qemus/1", "qemus": list, "why": why}
			return a.write(format, doc, func(w io.Writer) error { return prepare.WriteQEMUs(w, list, why) })
		},
	}
	formatFlag(cmd, &format, textOrJSON)
	return cmd
}
