package session

import (
	"context"
	"errors"
	"fmt"
	"io"

	"kernellab/harness"
	"kernellab/harness/ftrace"
	"kernellab/harness/machine"
	"kernellab/harness/report"
	"kernellab/harness/trace"
)

// ErrStopped says that the person ended a script at a line that failed.
var ErrStopped = harness.ErrStopped

// Ftrace runs a script for ftrace on the session's kernel, writes to w what became of
// each line, and in the end ftrace's record beside the stops. goOn is asked after a line
// that failed. ok says that no line failed, the script ran the program, and the record
// agrees with the stops.
func (s Session) Ftrace(ctx context.Context, w io.Writer, script []byte, goOn func() bool) (ok bool, err error) {
	targets, err := s.Host.Open(ctx, s.Kernels)
	if err != nil {
		return false, err
	}
	t := targets[0]
	job, err := s.Host.Job(ctx, s.Lab, t, s.Machine)
	if err != nil {
		return false, err
	}
	folder, err := s.Host.Folder(ctx, s.Out, false, s.Lab, t.Arch.Name, t.Image.Release)
	if err != nil {
		return false, err
	}
	job.Out, job.Script, job.Again = folder.Dir, string(script), false
	page := report.NewFtrace(w, s.Style)
	page.Head(s.Lab.Name, t.Arch.Name, t.Image.Release)
	ok = true
	job.Machine.Stage = func(what string) { s.Host.Progress.Say("%s", what) }
	job.Retry = func(err error) { s.Host.Progress.Say("%v; trying once more", err) }
	job.Line = func(out trace.ScriptLine, printed string) bool {
		s.Host.Progress.Done()
		page.Line(out, printed)
		ok = ok && out.Problem == ""
		return out.Problem == "" || goOn()
	}
	out, err := harness.Run(ctx, job)
	t.Image.SaveQueries()
	s.Host.Progress.Done()
	var down *machine.Error
	files := folder.Close(err != nil && !errors.Is(err, ErrStopped))
	if err != nil {
		if errors.As(err, &down) && files != "" {
			err = fmt.Errorf("%w (see %s)", err, files)
		}
		return false, errors.Join(err, written(page.Err()))
	}
	rows, rest := ftrace.Compare(out.Trace)
	page.Compared(out.Trace, rows, rest)
	f := out.Trace.Ftrace()
	ok = ok && f != nil && f.Ran
	for _, r := range rows {
		ok = ok && r.Agrees()
	}
	return ok, written(page.Err())
}
