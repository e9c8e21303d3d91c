package harness

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"kernellab/harness/grade"
	"kernellab/harness/machine"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/mapped"
)

// Pending is one job among many, which is prepared when its turn comes: a kernel
// that can not be read is that job's failure and no other's.
type Pending struct {
	// Rules and Kernel stand in the result of a job that could not be prepared.
	Rules  grade.Rules
	Kernel string
	// Prepare makes the job. stage takes what is being done.
	Prepare func(ctx context.Context, stage func(string)) (Job, error)
}

// Finished is how one of many jobs ended.
type Finished struct {
	// Result is complete in every case: what could not be graded has verdict error.
	Result verdict.Result
	Trace  *trace.Trace // nil when Err is not
	Err    error        // why the run could not be graded
	Took   time.Duration
}

// Many runs many jobs, several at a time. The zero value runs as
// many as there is Room for.
type Many struct {
	AtOnce int // jobs at a time, 0 is as many as there is Room for
	// Do runs one job, nil is Run.
	Do func(context.Context, Job) (*Outcome, error)
	// The observers take the job's index. They are called from several
	// goroutines, for one job from one at a time.
	Stage func(i int, what string)
	Done  func(i int, f Finished)
}

// JobError says which of many jobs could not be graded.
type JobError struct {
	Name string // "fork-new on 6.12.107+deb13-riscv64 (riscv64)"
	Err  error
}

func (e *JobError) Error() string { return e.Name + ": " + e.Err.Error() }

func (e *JobError) Unwrap() error { return e.Err }

// Run runs all jobs to their end, whatever becomes of each, and returns how they
// ended, in the order of jobs. The error holds a *JobError for every job that
// could not be graded, as a *multierror.Error; when ctx ends it is ctx's cause,
// and the jobs that did not end have it too.
func (m Many) Run(ctx context.Context, jobs []Pending) ([]Finished, error) {
	out := make([]Finished, len(jobs))
	var g errgroup.Group // without a context: a job's error stops no other
	g.SetLimit(AtOnce(m.AtOnce))
	for i, job := range jobs {
		g.Go(func() error {
			out[i] = m.one(ctx, i, job)
			if m.Done != nil && ctx.Err() == nil {
				m.Done(i, out[i])
			}
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	var errs *multierror.Error
	for _, f := range out {
		if f.Err != nil {
			errs = multierror.Append(errs, &JobError{Name: jobName(f.Result), Err: f.Err})
		}
	}
	if errs != nil {
		errs.ErrorFormat = listJobs
	}
	return out, errs.ErrorOrNil()
}

func jobName(r verdict.Result) string {
	name := r.Lab
	if r.Kernel != "" {
		name += " on " + r.Kernel
	}
	if r.Arch != "" {
		name += " (" + r.Arch + ")"
	}
	return name
}

// listJobs writes a line a job.
func listJobs(errs []error) string {
	what := "1 run"
	if len(errs) > 1 {
		what = fmt.Sprintf("%d runs", len(errs))
	}
	lines := []string{what + " could not be graded:"}
	for _, err := range errs {
		lines = append(lines, "  "+err.Error())
	}
	return strings.Join(lines, "\n")
}

// one runs one job. Nothing that happens in it reaches the others, not even a
// panic over a kernel that no one has seen before.
func (m Many) one(ctx context.Context, i int, p Pending) (f Finished) {
	began := time.Now()
	rules, kernel := p.Rules, p.Kernel
	defer func() {
		if v := recover(); v != nil {
			f.Err = &machine.Error{Op: "run the lab", Err: fmt.Errorf("the harness panicked, which is a mistake in it: %v\n%s", v, debug.Stack())}
		}
		f.Took = time.Since(began)
		if f.Err != nil {
			f.Trace, f.Result = nil, grade.Failure(rules, kernel, f.Err)
		}
	}()
	if ctx.Err() != nil {
		f.Err = context.Cause(ctx)
		return f
	}
	stage := func(what string) {
		if m.Stage != nil {
			m.Stage(i, what)
		}
	}
	var job Job
	err := mapped.Guard(func() (err error) {
		job, err = p.Prepare(ctx, stage)
		return err
	})
	if err != nil {
		f.Err = err
		return f
	}
	rules = job.Rules
	if job.Machine.Image != nil {
		kernel = job.Machine.Image.Release
	}
	if job.Machine.Stage == nil {
		job.Machine.Stage = stage
	}
	do := m.Do
	if do == nil {
		do = Run
	}
	out, err := do(ctx, job)
	if err == nil && out == nil {
		err = errors.New("the run gave neither an outcome nor an error")
	}
	if err != nil {
		f.Err = err
		return f
	}
	f.Trace, f.Result = out.Trace, out.Result
	return f
}
