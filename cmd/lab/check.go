package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/internal/usage"
	"kernellab/labs"
)

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check TRACE…",
		Short: "Grade recorded traces, without QEMU",
		Long: `check grades traces that lab run and lab grade left in their --out folders, each
named itself or by its folder. The verdict is the one of the run: it depends on
the trace alone, and of a submission on the answers that lie beside it.

--submission takes the answers from what a student handed in instead. The program
is not compiled: the trace is what it did.`,
		Example: "  lab check out/trace.jsonl\n  lab check graded/alice graded/bob\n  lab check graded/alice/trace.jsonl --submission handed-in/alice",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage.Errorf("check takes the traces to grade: lab check DIR/trace.jsonl")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(f.format); err != nil {
				return err
			}
			if f.submission != "" && len(args) > 1 {
				return usage.Errorf("--submission is what one student handed in: check its trace alone")
			}
			return a.check(cmd.Context(), args, f)
		},
	}
	formatFlag(cmd, &f.format)
	cmd.Flags().StringVar(&f.lab, "lab", "", "folder of the lab that the traces are of, where it is none of the course")
	cmd.Flags().StringVar(&f.submission, "submission", "", "take the answers from what a student handed in: a folder or an archive")
	cmd.MarkFlagDirname("lab")
	return cmd
}

// checkFlags are the flags of lab check.
type checkFlags struct {
	format, lab, submission string
}

// check grades every trace; those that can not be read are reported together.
func (a *app) check(ctx context.Context, paths []string, f checkFlags) error {
	doc := grade.NewDocument()
	var failed *multierror.Error
	for _, path := range paths {
		result, err := a.checkOne(ctx, path, f)
		if err != nil {
			failed = multierror.Append(failed, err)
			result = grade.Failure(grade.Rules{}, "", err)
		}
		doc.Results = append(doc.Results, result)
	}
	a.code = doc.ExitCode()
	if err := report.Write(a.stdout, f.format, doc, a.style()); err != nil {
		return err
	}
	return failed.ErrorOrNil()
}

// checkOne grades one trace, by the lab of the course that it names or by the one in
// the folder of --lab.
func (a *app) checkOne(ctx context.Context, path string, f checkFlags) (grade.Result, error) {
	dir := filepath.Dir(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir, path = path, filepath.Join(path, harness.TraceFile)
	}
	var handed *harness.HandedIn
	if filepath.Base(path) == harness.TraceFile {
		var err error
		handed, err = harness.ReadHandedIn(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, harness.ErrOtherRun):
			fmt.Fprintf(a.stderr, "lab: %v, and is left out\n", err)
		case err != nil:
			return grade.Result{}, err
		}
	}
	var t *trace.Trace
	if handed == nil || handed.Trace != "" {
		var err error
		if t, err = readTrace(path); err != nil {
			return grade.Result{}, err
		}
	}
	l, err := checkLab(t, handed, f.lab)
	if err != nil {
		return grade.Result{}, fmt.Errorf("%s: %w", path, err)
	}
	if f.submission != "" {
		s, err := prepare.Submission(ctx, l, f.submission)
		if err != nil {
			return grade.Result{}, err
		}
		handed = again(handed, t, s)
	}
	if handed == nil {
		return grade.Grade(t, l.Rules(t.Header.Arch)), nil
	}
	reference, err := readTrace(filepath.Join(dir, harness.ReferenceFile))
	if err != nil && !usage.Is(err) { // it is there where one was needed
		return grade.Result{}, err
	}
	return handed.Grade(l.Rules(handed.Arch), t, reference), nil
}

// checkLab is the lab that a trace, or what was handed in without one, is of.
func checkLab(t *trace.Trace, handed *harness.HandedIn, own string) (labs.Lab, error) {
	switch {
	case own != "" && !strings.Contains(own, "/"):
		return getLab("./" + own)
	case own != "":
		return getLab(own)
	case t != nil:
		return getLab(t.Header.Lab)
	}
	return getLab(handed.Lab)
}

// again is what was handed in, with the answers of s. A program that was not run, and
// why, stays as it was.
func again(handed *harness.HandedIn, t *trace.Trace, s *submission.Submission) *harness.HandedIn {
	if handed == nil {
		handed = &harness.HandedIn{Arch: t.Header.Arch, Kernel: t.Header.Kernel.Release}
	}
	of := harness.Submitted{Submission: s}
	handed.Answers, handed.AnswersOnly = s.Answers, t == nil && of.Rules().AnswersOnly
	handed.Findings = slices.DeleteFunc(handed.Findings, func(f grade.Finding) bool { return f.Kind != grade.FindCompile })
	for _, p := range s.Problems {
		if t == nil || p.Part != submission.PartProgram {
			handed.Findings = append(handed.Findings, grade.Finding{Kind: grade.FindSubmission, Part: string(p.Part), Message: p.Error()})
		}
	}
	return handed
}

func readTrace(path string) (*trace.Trace, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, usage.Errorf("no trace at %s: lab run LAB --out DIR leaves one as DIR/trace.jsonl", path)
		}
		return nil, err
	}
	defer f.Close()
	t, err := trace.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
