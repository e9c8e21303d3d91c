package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/report"
	"kernellab/internal/flags"
)

// rosterFlag adds --roster.
func rosterFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().Var(flags.Text(into, "", flags.InFile), "roster", "the class's people, a CSV `FILE` that Canvas or Moodle exported, to match submissions with")
	cmd.MarkFlagFilename("roster", "csv")
}

// writeClass writes a class's results, and says whose are not in a gradebook.
func (a *app) writeClass(format string, c report.Class) error {
	a.code = c.ExitCode()
	for _, text := range c.Unplaced(format) {
		a.progress.Say("%s", text)
	}
	return report.WriteClass(a.stdout, format, c, report.Terminal(a.stdout))
}
