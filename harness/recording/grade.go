package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kernellab/harness"
	"kernellab/harness/grade"
	"kernellab/harness/prepare"
	"kernellab/harness/report"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// CheckSteps reports a step that is no point of the lab in a folder, or, if that is "", of
// a lab of the course, as a mistake of usage.
func CheckSteps(folder string, steps []string) error {
	if len(steps) == 0 {
		return nil
	}
	var names []string
	if folder != "" {
		names = []string{folder}
	}
	all, err := prepare.Labs(names)
	if err != nil {
		return err
	}
	return prepare.CheckSteps(steps, all...)
}

// Grading grades recorded runs again.
type Grading struct {
	Lab        string // folder of the lab, "" for the course's lab that the trace names
	Submission string // path of a student's submission whose answers are graded, "" for none
	Format     string // of the report, see report.Formats
	Style      report.Style
	Identity   report.Classroom50 // whose results Classroom 50 reads
	// Warn is called with the reason if the answers next to a trace are ignored.
	Warn func(error)
}

// Report grades every trace and writes the verdicts to w. Text leaves out the traces that
// cannot be graded. If one is named wrongly, Report writes nothing.
func (g Grading) Report(ctx context.Context, w io.Writer, paths []string) (verdict.Document, error) {
	if err := CheckSteps(g.Lab, g.Style.Steps); err != nil {
		return verdict.Document{}, err
	}
	if g.Submission != "" && len(paths) > 1 {
		return verdict.Document{}, usage.Errorf("--submission is what one student handed in: check its trace alone")
	}
	doc, err := g.All(ctx, paths, g.Format != report.FormatText)
	if usage.Is(err) || len(doc.Results) == 0 {
		return doc, err
	}
	return doc, errors.Join(g.Identity.WriteOr(w, g.Format, doc, g.Style), err)
}

// All grades every trace. One that cannot be graded is left out of the document, or with
// failures has a result there that says why. The error joins the reasons.
func (g Grading) All(ctx context.Context, paths []string, failures bool) (verdict.Document, error) {
	doc := verdict.NewDocument()
	var failed []error
	for _, path := range paths {
		result, err := g.Grade(ctx, path)
		if err != nil {
			failed = append(failed, err)
			if !failures {
				continue
			}
			result = grade.Failure(grade.Rules{}, "", err)
		}
		doc.Results = append(doc.Results, result)
	}
	return doc, errors.Join(failed...)
}

// Grade grades one trace, a file or the folder of a run.
func (g Grading) Grade(ctx context.Context, path string) (verdict.Result, error) {
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
			g.Warn(err)
		case err != nil:
			return verdict.Result{}, err
		}
	}
	var t *trace.Trace
	if handed == nil || handed.Trace != "" {
		var err error
		if t, err = read(path); err != nil {
			return verdict.Result{}, err
		}
	}
	l, err := g.lab(t, handed)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := holds(t, l, path); err != nil {
		return verdict.Result{}, err
	}
	if g.Submission != "" {
		s, err := prepare.Submission(ctx, l, g.Submission)
		if err != nil {
			return verdict.Result{}, err
		}
		handed = withAnswers(handed, t, s)
	}
	if handed == nil {
		return grade.Grade(t, l.Rules(t.Header.Arch)), nil
	}
	reference, err := read(filepath.Join(dir, harness.ReferenceFile))
	if err != nil && !usage.Is(err) { // the file may not exist
		return verdict.Result{}, err
	}
	if err := holds(reference, l, filepath.Join(dir, harness.ReferenceFile)); err != nil {
		return verdict.Result{}, err
	}
	return handed.Grade(l.Rules(handed.Arch), t, reference), nil
}

// holds refuses a trace of a lab that contradicts itself; nil is none.
func holds(t *trace.Trace, l labs.Lab, path string) error {
	if t == nil {
		return nil
	}
	if err := harness.Contradiction(t, l.Plan(t.Header.Arch)); err != nil {
		return fmt.Errorf("%s: %w: it was changed since, or another version of the lab recorded it: record it again", path, err)
	}
	return nil
}

// lab returns the lab and task of a trace, or of a submission without a trace.
func (g Grading) lab(t *trace.Trace, handed *harness.HandedIn) (labs.Lab, error) {
	if t != nil {
		return labOf(t.Header.Lab, t.Header.Variant, g.Lab)
	}
	return labOf(handed.Lab, handed.Variant, g.Lab)
}

// labOf returns the lab of that name, or in the folder, with the task of a run.
func labOf(name string, variant map[string]string, folder string) (labs.Lab, error) {
	l, err := prepare.LabIn(folder, name)
	if err != nil {
		return l, err
	}
	if l, err = l.With(variant); err != nil {
		return l, fmt.Errorf("the task of the run: %w: another version of the lab recorded it", err)
	}
	return l, nil
}

// withAnswers returns the submission with the answers of s. It keeps the findings about
// a program that was not run.
func withAnswers(handed *harness.HandedIn, t *trace.Trace, s *submission.Submission) *harness.HandedIn {
	if handed == nil {
		handed = &harness.HandedIn{Arch: t.Header.Arch, Kernel: t.Header.Kernel.Release}
	}
	of := harness.Submitted{Submission: s}
	handed.Answers, handed.AnswersOnly = s.Answers, t == nil && of.Rules().AnswersOnly
	handed.Findings = slices.DeleteFunc(handed.Findings, func(f verdict.Finding) bool { return f.Kind != verdict.FindCompile && f.Kind != verdict.FindMachine })
	handed.Remarks = nil
	for _, p := range s.Problems {
		if p.Free {
			handed.Remarks = append(handed.Remarks, p.Error())
			continue
		}
		if t == nil || p.Part != submission.PartProgram {
			handed.Findings = append(handed.Findings, verdict.Finding{Kind: verdict.FindSubmission, Part: string(p.Part), Message: p.Error()})
		}
	}
	return handed
}

// read reads a trace.
func read(path string) (*trace.Trace, error) {
	f, err := regular.Open(path)
	if err != nil {
		var other *regular.Error
		switch {
		case errors.As(err, &other):
			return nil, usage.Errorf("trace %w", other)
		case errors.Is(err, os.ErrNotExist):
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
