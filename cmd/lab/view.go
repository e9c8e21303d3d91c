package main

import (
	"github.com/spf13/cobra"

	"kernellab/harness/recording"
	"kernellab/harness/walk"
	"kernellab/internal/commands"
	"kernellab/internal/flags"
)

func (a *app) viewCommand() *cobra.Command {
	var grading recording.Grading
	var out string
	var student, stay bool
	cmd := &cobra.Command{
		Use:   "view [FOLDER|TRACE]",
		Short: "Look at recorded runs in a browser",
		Long: `view writes a page of the runs that were recorded in a folder (default the current
one), or of one trace, and opens it in the browser. Where there is no browser it prints
the page's path. The page is one file that needs no network: the question and the
verdict, the path of the tasks in the guest's time, what was seen at each stop, and
the checks. It can be handed in, printed, or put on any web server.

The runs are graded again, without QEMU. The exit code is 0 when the page was written,
whatever the verdict.`,
		Example: "  lab run fork-new --out out\n  lab view out\n  lab view graded/alice --student --out alice.html",
		Args:    commands.Takes(0, 1, "one folder or trace: lab view DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := append(args, ".")[0]
			grading.Warn = func(err error) { a.progress.Say("%v, and is left out", err) }
			return walk.View(cmd.Context(), grading, path, out, student, stay, a.progress.Say, a.stdout)
		},
	}
	fl := cmd.Flags()
	fl.Var(flags.Text(&out, "", flags.OutFile), "out", "file for the page (default view.html beside the trace)")
	fl.Var(flags.Text(&grading.Lab, "", flags.InFolder), "lab", "folder of the lab that the traces are of, where it is none of the course")
	fl.BoolVar(&student, "student", false, "leave out what students may not see")
	fl.BoolVar(&stay, "no-browser", false, "print the path of the page and open no browser")
	cmd.MarkFlagDirname("lab")
	return cmd
}
