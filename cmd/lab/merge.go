package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"kernellab/harness/class"
	"kernellab/harness/marking"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
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
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("%s takes the --out folders of lab grade: lab grade merge part-1 part-2 --out graded", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.merge(cmd.Context(), args, out, format, roster)
		},
	}
	cmd.Flags().Var(flags.Text(&out, "", flags.OutFolder), "out", "folder for all results, which may be one of those merged")
	formatFlag(cmd, &format, report.ClassFormats())
	rosterFlag(cmd, &roster)
	cmd.MarkFlagDirname("out")
	return cmd
}

func (a *app) merge(ctx context.Context, dirs []string, out, format, roster string) error {
	people, err := marking.Roster(roster)
	if err != nil {
		return err
	}
	c, missing, err := class.Merge(ctx, dirs, out)
	if errors.Is(err, fs.ErrNotExist) {
		return usage.Wrap(err)
	}
	if err != nil {
		return err
	}
	c.Roster, c.Part = people, len(missing) > 0
	if err := a.writeClass(format, c); err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("there are no results of shard %s: its students are not among these", strings.Join(missing, ", "))
	}
	return nil
}
