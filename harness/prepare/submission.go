package prepare

import (
	"context"
	"errors"

	"kernellab/harness"
	"kernellab/harness/submission"
	"kernellab/images"
	"kernellab/images/compile"
	"kernellab/internal/regular"
	"kernellab/internal/usage"
	"kernellab/labs"
)

// Submission reads what was handed in for a lab, a folder or an archive.
func Submission(ctx context.Context, l labs.Lab, path string) (*submission.Submission, error) {
	if !l.Takes() {
		return nil, usage.Errorf("%s takes no submissions: its lab.yaml has no \"submission\"", l.Name)
	}
	if err := submission.CheckPath(path); err != nil {
		return nil, err
	}
	s, err := submission.Read(ctx, path, l.Handed())
	var other *regular.Error
	if errors.As(err, &other) {
		return nil, usage.Errorf("submission %w, or a folder", other)
	}
	return s, err
}

// Submitted is the run of a submission in the place of the lab's own program.
// compiler is called when there is something to compile; progress may be nil.
func Submitted(s *submission.Submission, own harness.Job, compiler func() (*compile.Compiler, error), progress images.Progress) harness.Submitted {
	return harness.Submitted{
		Submission: s,
		Own:        own,
		Compile: func(ctx context.Context, program submission.Program) (path, fault string, err error) {
			c, err := compiler()
			if err != nil {
				return "", "", err
			}
			path, err = c.Build(ctx, own.Machine.Arch.GOARCH, own.ProgramName, program.FS(), progress)
			var ce *compile.Error
			if errors.As(err, &ce) {
				return "", ce.Text, nil
			}
			return path, "", err
		},
	}
}
