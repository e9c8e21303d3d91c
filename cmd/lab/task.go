package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/variant"
	"kernellab/internal/flags"
	"kernellab/internal/shell"
	"kernellab/internal/usage"
)

// secretEnv names the file of the class's secret, for all commands.
const secretEnv = "LAB_SECRET"

// taskFlags are the flags that say whose task is wanted.
type taskFlags struct{ student, secret string }

func (f *taskFlags) secretFlag(cmd *cobra.Command) {
	cmd.Flags().Var(flags.Text(&f.secret, ""), "secret", "file of the class's secret, which chooses each student's task (default $"+secretEnv+"; lab secret makes one)")
}

func (f *taskFlags) studentFlag(cmd *cobra.Command, about string) {
	cmd.Flags().Var(flags.Text(&f.student, "", variant.CheckID), "student", about)
}

// asked reads the secret, from the file of --secret or LAB_SECRET.
func (f taskFlags) asked() (prepare.Asked, error) {
	a := prepare.Asked{Student: f.student}
	path := f.secret
	if path == "" {
		path = os.Getenv(secretEnv)
	}
	if path == "" {
		return a, nil
	}
	var err error
	if a.Secret, err = variant.Read(path); err != nil {
		return a, usage.Wrap(err)
	}
	return a, nil
}

func (a *app) secretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secret FILE",
		Short: "Make the secret of a class, which chooses each student's task",
		Long: `secret writes a new secret to FILE. With it, lab init and lab grade choose the values
in which one student's task differs from another's, by HMAC-SHA-256 over the lab, the
name of the variant and the student's ID. Without it no student can tell who has the
same task. Keep the file for as long as the class is graded, and give it to no student.`,
		Example: "  lab secret class.secret\n  lab init fork-new for/alice --student alice --secret class.secret",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage.Errorf("secret takes the file to write: lab secret class.secret")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := variant.Make(args[0]); err != nil {
				return usage.Wrap(err)
			}
			fmt.Fprintln(a.stdout, args[0])
			fmt.Fprintf(a.stderr, "Keep it: another secret gives every student another task. Name it with --secret %s, or with %s.\n", shell.Quote(args[0]), secretEnv)
			return nil
		},
	}
}
