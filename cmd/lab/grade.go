package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/spf13/cobra"

	"kernellab/harness/class"
	"kernellab/harness/marking"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/internal/flags"
	"kernellab/internal/progress"
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
	again       bool
	verify      int // per cent
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
	textFlag(cmd, &f.shard, "shard", "grade the I-th of N parts of the class: I/N")
	cmd.Flags().Var(flags.Percent(&f.verify), "verify", "execute a share of the runs twice and compare them, such as 25%")
	cmd.Flags().Lookup("verify").NoOptDefVal = "10%"
	cmd.Flags().BoolVar(&f.again, "again", false, "grade also what was graded before")
	formatFlag(cmd, &f.format, report.ClassFormats())
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
	if inside(f.out, f.submissions) {
		return shard, usage.Errorf("--out %s is in the folder of the submissions, where its files would be submissions: name another folder", f.out)
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

// inside reports whether path is the folder dir or in it. path need not exist.
func inside(path, dir string) bool {
	folder, err := os.Stat(dir)
	if err != nil {
		return false
	}
	at, err := filepath.Abs(path)
	for ; err == nil; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			at = real
		}
		if info, err := os.Stat(at); err == nil && os.SameFile(info, folder) {
			return true
		}
		if at == filepath.Dir(at) {
			return false
		}
	}
	return false
}

// grade grades a class.
func (a *app) grade(ctx context.Context, l labs.Lab, f gradeFlags) error {
	shard, err := f.check(l)
	if err != nil {
		return err
	}
	students, err := a.students(f.submissions)
	if err != nil {
		return err
	}
	students = shard.Select(students)
	p := progress.New(a.stderr)
	defer p.Done()
	if err := a.hold(ctx); err != nil {
		return err
	}
	targets, err := a.host(p).Open(ctx, f.Kernels)
	if err != nil {
		return err
	}
	m, err := marking.New(ctx, a.host(p), l, targets, f.Machine, f.verify)
	if err != nil {
		return err
	}
	if len(students) > 0 { // a shard may have none
		if err := m.Check(ctx); err != nil {
			return err
		}
	}
	p.Done()
	graded, err := a.gradeClass(ctx, m, class.Run{Out: f.out, Students: students, Shard: shard, AtOnce: f.jobs, Regrade: f.again})
	if err != nil {
		return err
	}
	a.code = graded.ExitCode()
	return report.WriteClass(a.stdout, f.format, graded, report.Terminal(a.stdout))
}

// students lists the submissions in a folder.
func (a *app) students(dir string) ([]class.Student, error) {
	students, skipped, err := class.List(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, class.ErrNoSubmissions) {
		return nil, usage.Wrap(err)
	}
	const told = 5
	for i, name := range skipped {
		if i == told {
			fmt.Fprintf(a.stderr, "lab: … and %d more\n", len(skipped)-told)
			break
		}
		fmt.Fprintf(a.stderr, "lab: left out: %s\n", progress.Visible(name))
	}
	return students, err
}

// gradeClass runs a class and shows its progress.
func (a *app) gradeClass(ctx context.Context, m *marking.Marker, r class.Run) (report.Class, error) {
	b := progress.NewBoard(a.stderr, len(r.Students))
	defer b.Close()
	b.Terse = true
	m.Say = b.Say
	var kept atomic.Int64
	r = m.Class(r)
	r.Stage = func(i int, what string) { b.Stage(i, r.Students[i].Name, what) }
	r.Done = func(i int, g report.Graded) {
		if g.Kept {
			kept.Add(1)
			b.Pass()
			return
		}
		b.End(i, g.Student, g.Ending())
	}
	b.Say("%s: %d submissions on %s", r.Lab, len(r.Students), m.Kernels())
	out, err := r.Class(ctx)
	if n := kept.Load(); n > 0 {
		b.Say("%d of them were graded before and are kept", n)
	}
	return out, err
}
