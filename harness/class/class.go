// Package class grades the submissions of a class: several at a time, each into a
// folder of its own that is there whole or not at all, so that a class can be
// interrupted, gone on with, spread over machines and merged.
//
// How one submission is graded is handed to it (Run.Grade); the package starts no
// guest, compiles nothing and reads no submission. What the class's results look
// like is package report's.
//
// A failure of ours is never a student's zero: it is tried once more, and then the
// student is not graded, which the verdict error says.
package class

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"kernellab/harness/report"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// Tries is how often a submission is graded when the fault is ours.
const Tries = 2

// Run grades a class. AtOnce, Feedback and the observers may be zero.
type Run struct {
	Lab      string
	Out      string // folder of the results, made when it is needed
	Students []Student
	Shard    Shard // which of a class's parts Students are
	AtOnce   int   // submissions at a time, 0 is one a processor
	Again    bool  // grade also what was graded before
	// Identify returns what a student's result depends on. One that was graded
	// with the same identity is not graded again.
	Identify func(context.Context, Student) (Identity, error)
	// Grade grades a submission and leaves its evidence in dir. An error, and a
	// result with verdict error, are ours and not the student's.
	Grade func(ctx context.Context, s Student, dir string, stage func(string)) (verdict.Document, error)
	// Unable makes the document of a submission that Grade has no document for.
	Unable func(Student, error) verdict.Document
	// Feedback writes to the student.
	Feedback func(Student, verdict.Document) string

	// The observers take the index of Students. They are called from several
	// goroutines, for one student from one at a time.
	Stage func(i int, what string)
	Done  func(i int, g report.Graded)
}

// InterruptedError says how far a class was when it was interrupted.
type InterruptedError struct {
	Done, Of int
	Err      error
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("%d of %d submissions are graded and kept: the same command goes on from there", e.Done, e.Of)
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// Class grades every student that is not graded yet, and returns all of them in
// the order of Students. When ctx ends it returns an *InterruptedError, and what
// was graded is kept.
func (r Run) Class(ctx context.Context) (report.Class, error) {
	store, err := open(r.Out, r.Shard)
	if err != nil {
		return report.Class{}, err
	}
	defer store.close()
	if err := r.writeList(); err != nil {
		return report.Class{}, fmt.Errorf("write down who is graded: %w", err)
	}
	out := make([]report.Graded, len(r.Students))
	ended := make([]bool, len(r.Students))
	failed := make([]error, len(r.Students))
	var g errgroup.Group // without a context: a student's error stops no other
	g.SetLimit(r.atOnce())
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
	// A folder that can not be written is no student's result.
	if err := errors.Join(failed...); err != nil {
		return report.Class{}, err
	}
	c := report.Class{Lab: r.Lab, Students: out}
	return c, r.write(ctx, c)
}

// write writes the files of the class. Shards that share a folder write those of
// all that is there: the last has them all.
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

func (r Run) atOnce() int {
	if r.AtOnce > 0 {
		return r.AtOnce
	}
	return runtime.GOMAXPROCS(0) // which a cgroup's limit lowers
}

// student returns the result of one student, which is made when there is none.
// The error is for a folder of results that can not be written.
func (r Run) student(ctx context.Context, store *store, i int) (report.Graded, error) {
	s := r.Students[i]
	id, err := r.identify(ctx, s)
	if err == nil && !r.Again {
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
			r.stage(i, "once more, because "+g.Cause())
			continue
		case ours:
			id = Identity{} // the next call grades it again
		}
		if err := r.keep(store, s, id, g, dir); err != nil {
			release()
			return g, fmt.Errorf("keep the result of %s: %w", s.Name, err)
		}
		g.Trim()
		return g, nil
	}
}

// document grades one submission. Nothing that happens in it reaches the others.
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
		err = errors.New("grading gave neither a result nor an error")
	}
	return doc, err
}

// caught makes an error of a panic.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("the harness panicked, which is a mistake in it: %v\n%s", v, debug.Stack())
	}
}

// keep puts a result in its place.
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
