package main

import (
	"context"

	"github.com/spf13/cobra"

	"kernellab/harness/class"
	"kernellab/harness/marking"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// gradeFlags are the flags of lab grade.
type gradeFlags struct {
	prepare.Kernels
	prepare.Machine
	submissions string
	out         string
	jobs        int
	shard       string
	format      string
	roster      string
	again       bool
	verify      int // per cent
	taskFlags
	students string // file of IDs
}

func (a *app) gradeCommand() *cobra.Command {
	var f gradeFlags
	cmd := oneLab(&cobra.Command{
		Use:   "grade LAB --submissions DIR --out DIR",
		Short: "Grade the submissions of a class",
		Long: `grade grades every submission in the folder of --submissions: its folders, and its
.zip, .tar, .tar.gz and .tgz files, each named after its student. Several run at
a time, each in a guest of its own. What is unclear of one student, such as a
folder beside an archive of the same name, keeps only that one from being graded.

The folder of --out receives, for each student, verdict.json, feedback.md and the
evidence (trace.jsonl, submission.json, console.log, qemu.sh and run.json, the times),
from which lab check grades again, and for the class grades.csv, summary.txt,
summary.json and junit.xml.

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
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := prepare.Lab(args[0])
			if err != nil {
				return err
			}
			return a.grade(cmd.Context(), lab, f)
		},
	})
	a.kernelFlags(cmd, &f.Kernels, "")
	machineFlags(cmd, &f.Machine)
	cmd.Flags().Var(flags.Text(&f.submissions, "", flags.InFolder), "submissions", "folder of the submissions")
	cmd.Flags().Var(flags.Text(&f.out, "", flags.OutFolder), "out", "folder for the results")
	jobsFlag(cmd, &f.jobs, "submissions")
	f.secretFlag(cmd)
	cmd.Flags().Var(flags.Text(&f.students, "", flags.InFile), "students", "file with a line NAME,ID for each submission whose student's ID is not its name")
	textFlag(cmd, &f.shard, "shard", "grade the I-th of N parts of the class: I/N")
	cmd.Flags().Var(flags.Percent(&f.verify), "verify", "execute a share of the runs twice and compare them, such as 25%")
	cmd.Flags().Lookup("verify").NoOptDefVal = "10%"
	cmd.Flags().BoolVar(&f.again, "again", false, "grade also what was graded before")
	formatFlag(cmd, &f.format, report.ClassFormats())
	rosterFlag(cmd, &f.roster)
	cmd.MarkFlagDirname("submissions")
	cmd.MarkFlagDirname("out")
	cmd.AddCommand(a.mergeCommand())
	return cmd
}

// check refuses flags that make no sense, and returns the shard.
func (f gradeFlags) check(l labs.Lab) (class.Shard, error) {
	var shard class.Shard
	switch {
	case !l.Takes():
		return shard, usage.Errorf("%s takes no submissions: its lab.yaml does not say what to hand in", l.Name)
	case f.submissions == "":
		return shard, usage.Errorf("lab grade needs the folder of the submissions: --submissions DIR")
	case f.out == "":
		return shard, usage.Errorf("lab grade needs a folder for the results: --out DIR")
	}
	if err := class.CheckOut(f.out, f.submissions); err != nil {
		return shard, usage.Wrap(err)
	}
	if f.shard == "" {
		return shard, nil
	}
	shard, err := class.ParseShard(f.shard)
	if err != nil {
		return shard, usage.Wrap(err)
	}
	return shard, nil
}

// grade grades a class.
func (a *app) grade(ctx context.Context, l labs.Lab, f gradeFlags) error {
	shard, err := f.check(l)
	if err != nil {
		return err
	}
	students, err := marking.Students(f.submissions, a.progress.Say)
	if err != nil {
		return err
	}
	asked, err := f.asked()
	if err != nil {
		return err
	}
	tasks, err := marking.TasksOf(students, asked.Secret, f.students)
	if err != nil {
		return err
	}
	people, err := readRoster(f.roster)
	if err != nil {
		return err
	}
	all := students
	students = shard.Select(all)
	host, err := a.hold(ctx)
	if err != nil {
		return err
	}
	targets, err := host.Open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	m, err := marking.New(ctx, host, l, targets, f.Machine, f.verify)
	if err != nil {
		return err
	}
	m.Tasks = tasks
	if err := m.CheckSecret(ctx, all); err != nil {
		return err
	}
	if len(students) > 0 { // a shard may have none
		if err := m.Check(ctx); err != nil {
			return err
		}
	}
	a.progress.Done()
	graded, err := m.Class(ctx, a.stderr, class.Run{Out: f.out, Students: students, Shard: shard, AtOnce: f.jobs, Regrade: f.again})
	if err != nil {
		return err
	}
	graded.Roster, graded.Part = people, shard.Of > 1
	return a.writeClass(f.format, graded)
}
