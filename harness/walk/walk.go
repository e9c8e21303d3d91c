// Package walk shows recorded runs stop by stop: as a page for a browser, or in the
// terminal.
package walk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness"
	"kernellab/harness/recording"
	"kernellab/harness/redact"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/atomicfile"
	"kernellab/internal/browser"
	"kernellab/internal/usage"
)

// PageFile is the name of the page that Page writes into the folder of a run.
const PageFile = "view.html"

// Page writes the page of the runs that were recorded at path, a trace or a folder of
// runs, and returns the page's path. Without out it is PageFile in that folder or beside
// the trace. With student it has what students may see.
func Page(ctx context.Context, g recording.Grading, path, out string, student bool) (string, error) {
	doc, err := document(ctx, g, path)
	if err != nil {
		return "", err
	}
	if student {
		doc = redact.Shown(doc, verdict.Visible)
	}
	if out == "" {
		out = beside(path)
	}
	write := func(w io.Writer) error { return report.Write(w, report.FormatHTML, doc, report.Style{}) }
	if err := atomicfile.Write(out, 0o644, write); err != nil {
		return "", fmt.Errorf("write the page: %w: --out FILE puts it somewhere else", err)
	}
	return out, nil
}

// View is Page, and opens the page in the browser. With stay, and where there is no
// browser, it writes the page's path to w.
func View(ctx context.Context, g recording.Grading, path, out string, student, stay bool, say func(string, ...any), w io.Writer) error {
	written, err := Page(ctx, g, path, out, student)
	if err != nil {
		return err
	}
	if !stay {
		if err = browser.Open(ctx, written); err == nil {
			return nil
		}
		if !errors.Is(err, browser.ErrNone) {
			say("%v", err)
		}
	}
	_, err = fmt.Fprintln(w, written)
	return err
}

// beside returns the path of the page of what was recorded at path.
func beside(path string) string {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filepath.Join(path, PageFile)
	case filepath.Base(path) == harness.TraceFile:
		return filepath.Join(filepath.Dir(path), PageFile)
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".html"
}

// document grades the runs at path again. Runs that cannot be graded are results too, as
// long as one can.
func document(ctx context.Context, g recording.Grading, path string) (verdict.Document, error) {
	paths, err := recording.Find(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return verdict.Document{}, usage.Errorf("no run at %s: lab run LAB --out DIR leaves one", path)
	case usage.Is(err):
		return verdict.Document{}, err
	case err != nil:
		paths = []string{path} // a submission that was not run has no trace
	}
	doc, err := g.All(ctx, paths, len(paths) > 1)
	if len(paths) > 1 && !usage.Is(err) {
		err = nil
	}
	return doc, err
}
