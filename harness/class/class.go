// Package class grades the submissions of a class: several at a time, each atomically
// into its own folder. So the grading of a class can be interrupted and resumed, and
// sharded over machines and merged.
//
// Run.Grade grades one submission. The package itself starts no guest, compiles nothing
// and reads no submission. Package report formats the results.
//
// A failure of the harness never costs a student points: the submission is retried
// once, and then the student has the verdict error, which means not graded.
package class

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"kernellab/harness/report"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// Tries is the number of attempts to grade a submission when the harness fails.
const Tries = 2

// Run grades a class. Feedback and the observers may be zero.
type Run struct {
	Lab      string
	Out      string // folder of the results, created if it does not exist
	Students []Student
	Shard    Shard // the part of the class that has Students
	AtOnce   int   // submissions at a time
	Regrade  bool  // also grade submissions that have a result
	// Identify returns everything that a student's result depends on. A result with
	// the same identity is reused.
	Identify func(context.Context, Student) (Identity, error)
	// Grade grades a submission and writes the evidence to dir. An error, or the
	// verdict error, means a failure of the harness.
	Grade func(ctx context.Context, s Student, dir string, stage func(string)) (verdict.Document, error)
	// Unable returns the document of a submission for which Grade returned an error.
	Unable func(Student, error) verdict.Document
	// Feedback returns the text for the student.
	Feedback func(Student, verdict.Document) string

	// Stage and Done observe the grading. i is an index of Students. They are called
	// from several goroutines, but from only one at a time for each student.
	Stage func(i int, what string)
	Done  func(i int, g report.Graded)
}

// InterruptedError says how many submissions were graded before an interruption.
type InterruptedError struct {
	Done, Of int
	Err      error
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("%d of %d submissions are graded and kept: the same command resumes there", e.Done, e.Of)
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// Class grades every student without a result, and returns the results in the order of
// Students. If ctx ends it returns an *InterruptedError and keeps the results so far.
func (r Run) Class(ctx context.Context) (report.Class, error) {
	store, err := open(r.Out, r.Shard)
	if err != nil {
		return report.Class{}, err
	}
	defer store.close()
	if err := r.writeList(); err != nil {
		return report.Class{}, fmt.Errorf("write the list of students: %w", err)
	}
	out := make([]report.Graded, len(r.Students))
	ended := make([]bool, len(r.Students))
	failed := make([]error, len(r.Students))
	var g errgroup.Group // no context: an error of one student does not stop the others
	g.SetLimit(max(r.AtOnce, 1))
	for i := range r.Students {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			out[i], failed[i] = r.student(ctx, store, i)
			if ended[i] = failed[i] == nil && ctx.Err() == nil; ended[i] && r.Done != nil {
				r.Done(i, out[i])
			}
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		e := &InterruptedError{Of: len(r.Students), Err: context.Cause(ctx)}
		for _, ok := range ended {
			if ok {
				e.Done++
			}
		}
		return report.Class{}, e
	}
	if err := errors.Join(failed...); err != nil {
		return report.Class{}, err
	}
	c := report.Class{Lab: r.Lab, Students: out}
	return c, r.write(ctx, c)
}

// write writes the files of the class. Shards that share a folder include the results
// of all shards so far.
func (r Run) write(ctx context.Context, c report.Class) error {
	if r.Shard.Of > 1 {
		all, _, err := Merge(ctx, []string{r.Out}, "")
		if err != nil {
			return err
		}
		c = all
	}
	return writeClass(r.Out, c)
}

// student returns the result of one student, and grades the student if there is none.
// The error says that the folder of results cannot be written.
func (r Run) student(ctx context.Context, store *store, i int) (report.Graded, error) {
	s := r.Students[i]
	id, err := r.identify(ctx, s)
	if err == nil && !r.Regrade {
		if g, ok := store.find(s, id); ok {
			g.Kept = true
			return g, nil
		}
	}
	began := time.Now()
	for try := 1; ; try++ {
		if ctx.Err() != nil {
			return report.Graded{}, context.Cause(ctx)
		}
		dir, release, err := store.temp()
		if err != nil {
			return report.Graded{}, err
		}
		g := report.Graded{Student: s.Name, Attempts: try, Document: r.document(ctx, i, dir)}
		g.Took = time.Since(began)
		ours := g.Verdict() == verdict.Error
		switch {
		case ctx.Err() != nil:
			release()
			return report.Graded{}, context.Cause(ctx)
		case ours && try < Tries:
			release()
			r.stage(i, "retrying, because "+g.Cause())
			continue
		case ours:
			id = Identity{} // so that the next call grades it again
		}
		if err := r.keep(store, s, id, g, dir); err != nil {
			release()
			return g, fmt.Errorf("write the result of %s: %w", s.Name, err)
		}
		g.Trim()
		return g, nil
	}
}

// document grades one submission. Its failure does not affect other submissions.
func (r Run) document(ctx context.Context, i int, dir string) verdict.Document {
	doc, err := r.grade(ctx, i, dir)
	if err != nil {
		return r.Unable(r.Students[i], err)
	}
	return doc
}

func (r Run) stage(i int, what string) {
	if r.Stage != nil {
		r.Stage(i, what)
	}
}

func (r Run) identify(ctx context.Context, s Student) (id Identity, err error) {
	defer caught(&err)
	return r.Identify(ctx, s)
}

func (r Run) grade(ctx context.Context, i int, dir string) (doc verdict.Document, err error) {
	defer caught(&err)
	doc, err = r.Grade(ctx, r.Students[i], dir, func(what string) { r.stage(i, what) })
	if err == nil && len(doc.Results) == 0 {
		err = errors.New("grading returned neither a result nor an error")
	}
	return doc, err
}

// caught converts a panic to an error.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("the harness panicked, which is a bug: %v\n%s", v, debug.Stack())
	}
}

// keep writes a result and renames dir to the student's folder.
func (r Run) keep(store *store, s Student, id Identity, g report.Graded, dir string) error {
	err := writeTo(filepath.Join(dir, VerdictFile), words.Document(g.Document).Encode)
	if err == nil && r.Feedback != nil {
		err = os.WriteFile(filepath.Join(dir, FeedbackFile), []byte(r.Feedback(s, g.Document)), 0o644)
	}
	if err == nil {
		err = writeRecord(dir, record{Lab: r.Lab, Student: s.Name, Identity: id, Attempts: g.Attempts, Took: g.Took})
	}
	if err != nil {
		return err
	}
	return store.put(s, dir)
}
