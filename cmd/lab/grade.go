package main

import (
	"context"

	"github.com/spf13/cobra"

	"kernellab/harness/marking"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/labs"
)

func (a *app) gradeCommand() *cobra.Command {
	var o marking.Options
	var whose taskFlags
	cmd := ofLab(&cobra.Command{
		Use:   "grade LAB --submissions DIR --out DIR",
		Short: "Grade the submissions of a class",
		Long: `grade grades every submission in the folder of --submissions: its folders, and its
.zip, .tar, .tar.gz and .tgz files, each named after its student. Several run at
a time, each in a guest of its own. What is unclear of one student, such as a
folder beside an archive of the same name, keeps only that one from being graded.

The folder of --out receives, for each student, verdict.json, feedback.md and the
evidence (trace.jsonl, submission.json, console.log, qemu.sh and run.json, the times),
from which lab check grades again, and for the class grades.csv, summary.txt,
summary.json and junit.xml. With --format html, also pages for a browser: pages/index.html
for the instructor, and in pages/students what each student may see.

It may be interrupted: the same command goes on. A submission is graded again
only when its content, lab, the kernel, QEMU, --seed, --cpus or --timeout changed.
Graded again, it gets the same mark: how busy the host is has no part in it.

The lab's own program runs first, once on each kernel. When it does not pass there,
nobody is graded: lab says why and ends with 3.

What fails for no fault of the student, such as a QEMU that the host ends, is
tried once more and is then not graded: verdict error, and no score at all in
grades.csv.

Where the lab's tasks differ between students, each submission is graded by the task of
its student, whose ID is the name of its folder or archive, or the one that --students
gives for it: a file with a line "NAME,ID" for each. --secret names the secret that
lab init had. Without it, a submission is graded by the task of its student's ID alone
if it has a student.yaml, and by the lab's own task if it has none. What a student.yaml
says otherwise is noted. When what is wrong fits the tasks of others, the instructor's
results say whose.

--format canvas and --format moodle print the grades as CSV that these import. With
--roster, a CSV that they export, submissions are matched by IDs, logins, e-mail
addresses or names; whom lab does not find there, and who has handed in nothing, is
named. Without it the submissions' names are the logins.

--shard I/N grades every N-th submission, so that N machines share a class;
lab grade merge puts their results together.

Exit codes, of the class: 0 all passed · 1 all were graded, and one or more
failed, which in a class is usual · 2 wrong usage · 3 one or more could not be
graded.`,
		Example: "  lab grade fork-new --submissions handed-in --out graded --arch x86_64\n" +
			"  lab grade fork-new --submissions handed-in --out part-2 --shard 2/4\n" +
			"  lab grade merge part-1 part-2 part-3 part-4 --out graded",
	}, func(ctx context.Context, l labs.Lab, _ []string) error {
		asked, err := whose.asked()
		if err != nil {
			return err
		}
		o.Lab, o.Secret = l, asked.Secret
		grading, err := o.Read(a.progress.Say)
		if err != nil {
			return err
		}
		host, err := a.hold(ctx)
		if err != nil {
			return err
		}
		graded, err := grading.Grade(ctx, host, a.stderr)
		if err != nil {
			return err
		}
		return a.writeClass(o.Format, graded)
	})
	a.kernelFlags(cmd, &o.Kernels, "")
	machineFlags(cmd, &o.Machine)
	cmd.Flags().Var(flags.Text(&o.Submissions, "", flags.InFolder), "submissions", "folder of the submissions")
	cmd.Flags().Var(flags.Text(&o.Out, "", flags.OutFolder), "out", "folder for the results")
	jobsFlag(cmd, &o.AtOnce, "submissions")
	whose.secretFlag(cmd)
	cmd.Flags().Var(flags.Text(&o.IDs, "", flags.InFile), "students", "file with a line NAME,ID for each submission whose student's ID is not its name")
	textFlag(cmd, &o.Shard, "shard", "grade the I-th of N parts of the class: I/N")
	cmd.Flags().Var(flags.Percent(&o.Verify), "verify", "execute a share of the runs twice and compare them, such as 25%")
	cmd.Flags().Lookup("verify").NoOptDefVal = "10%"
	cmd.Flags().BoolVar(&o.Regrade, "again", false, "grade also what was graded before")
	formatFlag(cmd, &o.Format, report.ClassFormats())
	rosterFlag(cmd, &o.Roster)
	cmd.MarkFlagDirname("submissions")
	cmd.MarkFlagDirname("out")
	cmd.AddCommand(a.mergeCommand())
	return cmd
}

// writeClass writes a class's results, and says whose are not in a gradebook.
func (a *app) writeClass(format string, c report.Class) error {
	a.code = c.ExitCode()
	for _, text := range c.Unplaced(format) {
		a.progress.Say("%s", text)
	}
	return report.WriteClass(a.stdout, format, c, report.Terminal(a.stdout))
}
