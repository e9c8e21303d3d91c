package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/variant"
	"kernellab/internal/commands"
	"kernellab/internal/shell"
	"kernellab/internal/usage"
)

func (a *app) secretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secret FILE",
		Short: "Make the secret of a class, which chooses each student's task",
		Long: `secret writes a new secret to FILE. With it, lab init and lab grade choose the values
in which one student's task differs from another's, by HMAC-SHA-256 over the lab, the
name of the variant and the student's ID. Without it no student can tell who has the
same task. Keep the file for as long as the class is graded, and give it to no student.`,
		Example: "  lab secret class.secret\n  lab init fork-new for/alice --student alice --secret class.secret",
		Args:    commands.Takes(1, 1, "the file to write: lab secret class.secret"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := variant.Make(args[0]); err != nil {
				return usage.Wrap(err)
			}
			fmt.Fprintln(a.stdout, args[0])
			fmt.Fprintf(a.stderr, "Keep it: another secret gives every student another task. Name it with --secret %s, or with %s.\n", shell.Quote(args[0]), prepare.SecretEnv)
			return nil
		},
	}
}
