package main

import (
	"errors"
	"math"

	"github.com/spf13/cobra"

	"kernellab/harness/marking"
	"kernellab/harness/report"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

func (a *app) mergeCommand() *cobra.Command {
	var out, format, roster string
	cmd := &cobra.Command{
		Use:   "merge DIR… --out DIR",
		Short: "Put the results of the shards of a class together",
		Long: `merge reads the --out folders of lab grade --shard and writes one folder with all
students and the class's grades.csv, summary and junit.xml. Without --out it only
prints the summary.

A student whom a shard did not get to is not graded. When there is nothing of a
whole shard, merge says so and exits with 3, as its students are not known.`,
		Example: "  lab grade merge part-1 part-2 --out graded\n  lab grade merge parts/* --out graded --format markdown\n  lab grade merge graded --format canvas --roster export.csv",
		Args:    commands.Takes(1, math.MaxInt, "the --out folders of lab grade: lab grade merge part-1 part-2 --out graded"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := marking.Merge(cmd.Context(), args, out, roster, format)
			var part *marking.PartError
			if err != nil && !errors.As(err, &part) {
				return err
			}
			return errors.Join(a.writeClass(format, c), err)
		},
	}
	cmd.Flags().Var(flags.Text(&out, "", flags.OutFolder), "out", "folder for all results, which may be one of those merged")
	formatFlag(cmd, &format, report.ClassFormats())
	rosterFlag(cmd, &roster)
	cmd.MarkFlagDirname("out")
	return cmd
}
