package walk

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness/recording"
	"kernellab/harness/report"
	"kernellab/harness/session"
)

// Recorded reports whether path is a trace or a folder of runs, and not of a lab.
func Recorded(path string) bool {
	_, err := os.Stat(path)
	_, lab := os.Stat(filepath.Join(path, "lab.yaml"))
	return err == nil && lab != nil
}

// StepLab runs a lab, which name names, once and steps through the run. s says how,
// without Out and Format.
func StepLab(ctx context.Context, s session.Session, name string, in io.Reader, out io.Writer) error {
	var g recording.Grading
	if strings.Contains(name, "/") {
		g.Lab = name
	}
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
