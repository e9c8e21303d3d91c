package harness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kernellab/harness/machine"
	"kernellab/harness/qemu"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// DownError says that a machine was brought down while a stranger's program ran in it.
// Whether that is the program's doing shows when the lab's own program runs in a machine
// that was made in the same way.
type DownError struct{ Err error }

func (e *DownError) Error() string { return e.Err.Error() }

func (e *DownError) Unwrap() error { return e.Err }

// isDown reports whether err is a *DownError.
func isDown(err error) bool {
	var down *DownError
	return errors.As(err, &down)
}

// down makes a *DownError of what ended a stranger's run, if a program can have done it.
func (j Job) down(err error) error {
	if j.Stranger && machine.BroughtDown(err) {
		return &DownError{err}
	}
	return err
}

// attempt is what became of a student's program: a run, or why there is none.
type attempt struct {
	out   *Outcome
	fault *verdict.Finding
	own   *trace.Trace // a run of the lab's own program, where one was made
}

// blame decides about a program whose machine was brought down, twice, with err: it is the
// program's doing if the lab's own program runs where it ran. When that needed another try,
// what both started from was broken and has been thrown away, and the student's program is
// run again.
func (s Submitted) blame(ctx context.Context, job Job, err error) (attempt, error) {
	own := s.Own
	own.Out, own.Again, own.Began, own.Event = "", false, nil, nil
	broken := false
	own.Retry = func(error) { broken = true }
	ran, oerr := Run(ctx, own)
	if oerr == nil && ran.Result.Verdict != verdict.Pass {
		oerr = fmt.Errorf("its verdict is %s", ran.Result.Verdict)
	}
	if oerr != nil {
		return attempt{}, fmt.Errorf("%w; nor does the lab's own program run there: %w", err, oerr)
	}
	if broken {
		again, aerr := Run(ctx, job)
		if !isDown(aerr) {
			return attempt{out: again, own: ran.Trace}, aerr
		}
		err = aerr
	}
	if job.Out != "" { // the trace of a run that did not end
		if err := os.Remove(filepath.Join(job.Out, TraceFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return attempt{}, &machine.Error{Op: "remove the trace of a run that did not end", Err: err}
		}
	}
	return attempt{own: ran.Trace, fault: &verdict.Finding{
		Kind:    verdict.FindMachine,
		Message: fmt.Sprintf("%s brought its machine down, where the lab's own program runs: %s", s.Own.ProgramName, wentDown(err)),
	}}, nil
}

// wentDown says how a machine was brought down, without what the kernel said, which can
// give an answer away.
func wentDown(err error) string {
	var g *machine.GuestError
	var ended *qemu.ExitError
	switch {
	case errors.As(err, &g) && g.Hung:
		return "the kernel did not answer any more"
	case errors.As(err, &g):
		return "the kernel " + g.What
	case errors.As(err, &ended):
		return "QEMU ended (" + ended.State + ")"
	}
	return "the memory of the guest's agent was overwritten"
}
