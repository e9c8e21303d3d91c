package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/submission"
	"kernellab/internal/commands"
	"kernellab/internal/shell"
	"kernellab/labs"
)

func (a *app) initCommand() *cobra.Command {
	var language string
	var whose taskFlags
	cmd := ofLab(&cobra.Command{
		Use:   "init LAB DIR",
		Short: "Begin a submission: a folder with the lab's questions and a program to start from",
		Long: `init writes into DIR what a submission to the lab is made of: answers.yaml with
the questions, prog.go (or prog.c, with --language c) to start from, and
README.md. It makes the folder when there is none, and replaces no file.

With --student the task is the student's own: values such as an exit status differ from
those of others. The class's secret and the student's ID choose them; without a secret
the ID alone does. student.yaml records the choice, and lab run --submission and lab
grade go by it.`,
		Example: "  lab init fork-new my-fork\n  lab init fork-new my-fork --language c\n  lab run fork-new --submission my-fork\n" +
			"  lab init fork-new for/alice --student alice --secret class.secret",
	}, func(_ context.Context, l labs.Lab, args []string) error {
		asked, err := whose.asked()
		if err != nil {
			return err
		}
		begun, err := prepare.Begin(l, args[1], language, asked)
		if err != nil {
			return err
		}
		for _, path := range begun.Paths {
			fmt.Fprintln(a.stdout, path)
		}
		if begun.About != "" {
			fmt.Fprintln(a.stderr, begun.About)
		}
		fmt.Fprintf(a.stderr, "Write the answers and the program, then: lab run %s --submission %s\n", shell.Quote(args[0]), shell.Quote(args[1]))
		return nil
	})
	cmd.Args = commands.Takes(2, 2, "a lab and the folder to make: lab init fork-new my-submission")
	cmd.ValidArgsFunction = commands.Completion(commands.Words(labNames), commands.Folder)
	whose.studentFlag(cmd, "ID of the student whose task it is")
	whose.secretFlag(cmd)
	commands.Choice(cmd, &language, "language", "language", "", []string{submission.Go, submission.C, submission.Script}, "language of the program (default: the first that the lab takes)")
	return cmd
}
