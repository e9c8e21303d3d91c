package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/commands"
)

func (a *app) newCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "new NAME [DIR]",
		Short: "Begin a lab of your own: a folder that runs",
		Long: `new makes the folder NAME, in DIR or here, with a lab to begin from: lab.yaml,
the handout, the program and a wrong program. It runs as it is: lab run ./NAME, and
lab test ./NAME tests it. What lab.yaml can say is in labs/README.md of the source,
and in lab.schema.json for editors.

With --from the lab to begin from is one that exists, of the course or in a folder:
its points, questions, misconceptions, handout, programs and wrong programs, under
the new name.`,
		Example:           "  lab new my-lab\n  lab new my-fork --from fork-new\n  lab test ./my-fork",
		Args:              commands.Takes(1, 2, "the name of the lab, and the folder to make it in if not this one"),
		ValidArgsFunction: commands.Completion(commands.Words(func() []string { return nil }), commands.Folder),
		RunE: func(_ *cobra.Command, args []string) error {
			parent := "."
			if len(args) > 1 {
				parent = args[1]
			}
			dir, paths, err := prepare.NewLab(parent, args[0], from)
			if err != nil {
				return err
			}
			for _, path := range paths {
				fmt.Fprintln(a.stdout, path)
			}
			fmt.Fprintf(a.stderr, "It runs as it is: lab run %s; lab test %s tests it\n", dir, dir)
			return nil
		},
	}
	textFlag(cmd, &from, "from", "the `LAB` to begin from")
	cmd.RegisterFlagCompletionFunc("from", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return labNames(), cobra.ShellCompDirectiveDefault
	})
	return cmd
}
