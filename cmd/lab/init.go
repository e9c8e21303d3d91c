package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/harness/submission"
	"kernellab/internal/shell"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func (a *app) initCommand() *cobra.Command {
	var language string
	var whose taskFlags
	cmd := oneLab(&cobra.Command{
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
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			asked, err := whose.asked()
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("language") {
				language = ""
			}
			return a.init(l, args[0], args[1], language, asked)
		},
	})
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usage.Errorf("%s takes a lab and the folder to make: lab init %s my-submission", cmd.CommandPath(), labNames()[0])
		}
		return nil
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return labNames(), cobra.ShellCompDirectiveNoFileComp
		case 1:
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	whose.studentFlag(cmd, "ID of the student whose task it is")
	whose.secretFlag(cmd)
	choice(cmd, &language, "language", "language", submission.Go, []string{submission.Go, submission.C, submission.Script}, "language of the program, where the lab takes several")
	return cmd
}

// init begins a submission; called is what the lab was called on the command line.
func (a *app) init(l labs.Lab, called, dir, language string, asked prepare.Asked) error {
	begun, err := prepare.Begin(l, dir, language, asked)
	if err != nil {
		return err
	}
	for _, path := range begun.Paths {
		fmt.Fprintln(a.stdout, path)
	}
	if begun.About != "" {
		fmt.Fprintln(a.stderr, begun.About)
	}
	fmt.Fprintf(a.stderr, "Write the answers and the program, then: lab run %s --submission %s\n", shell.Quote(called), shell.Quote(dir))
	return nil
}
