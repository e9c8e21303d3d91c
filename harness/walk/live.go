package walk

import (
	"context"
	"fmt"
	"io"
	"os"

	"kernellab/harness/recording"
	"kernellab/harness/report"
	"kernellab/harness/session"
)

// StepLab runs a lab once and steps through the run. s says how, without Out and Format.
func StepLab(ctx context.Context, s session.Session, g recording.Grading, in io.Reader, out io.Writer) error {
	dir, err := os.MkdirTemp("", "lab-step-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.Out, s.Format = dir, report.FormatJSON
	doc, err := s.Run(ctx, io.Discard)
	if err != nil {
		return err
	}
	if doc.Results[0].Error != "" {
		return fmt.Errorf("the run has no verdict: %s", doc.Results[0].Error)
	}
	return Step(ctx, g, dir, in, out)
}
