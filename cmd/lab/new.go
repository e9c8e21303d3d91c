package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"kernellab/harness/prepare"
	"kernellab/internal/usage"
	"kernellab/labs"
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
		Example: "  lab new my-lab\n  lab new my-fork --from fork-new\n  lab test ./my-fork",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage.Errorf("%s takes the name of the lab, and the folder to make it in if not this one", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			parent := "."
			if len(args) == 2 {
				parent = args[1]
			}
			return a.new(args[0], parent, from)
		},
	}
	textFlag(cmd, &from, "from", "the `LAB` to begin from")
	cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(labNames(), cobra.ShellCompDirectiveDefault))
	return cmd
}

func (a *app) new(name, parent, from string) error {
	var model *labs.Lab
	if from != "" {
		l, err := prepare.Lab(from)
		if err != nil {
			return err
		}
		model = &l
	}
	dir, paths, err := labs.Create(parent, name, model)
	if err != nil {
		return err
	}
	for _, path := range paths {
		fmt.Fprintln(a.stdout, path)
	}
	if !filepath.IsAbs(dir) {
		dir = "." + string(filepath.Separator) + dir
	}
	fmt.Fprintf(a.stderr, "It runs as it is: lab run %s; lab test %s tests it\n", dir, dir)
	return nil
}
