package selftest

import (
	"context"
	"fmt"
	"io"
	"strings"

	"kernellab/harness/report"
	"kernellab/harness/verdict"
	"kernellab/internal/progress"
)

// Report tests the lab, and writes to w a line for each test when it is known, and in the
// end how the tests ended; or the report as JSON.
func (t Test) Report(ctx context.Context, w io.Writer, format string) (Report, error) {
	if format == report.FormatJSON {
		r, err := t.Run(ctx)
		if err != nil {
			return r, err
		}
		return r, r.Encode(w)
	}
	t.Done = func(l Line) { fmt.Fprint(w, l.Text()) }
	r, err := t.Run(ctx)
	if err != nil {
		return r, err
	}
	_, err = fmt.Fprintln(w, r.Summary())
	return r, err
}

// Write writes the report as text, or as JSON.
func (r Report) Write(w io.Writer, format string) error {
	if format == report.FormatJSON {
		return r.Encode(w)
	}
	for _, l := range r.Tests {
		fmt.Fprint(w, l.Text())
	}
	_, err := fmt.Fprintln(w, r.Summary())
	return err
}

// Encode writes the report as indented JSON.
func (r Report) Encode(w io.Writer) error {
	if err := report.JSON(w, r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Text returns the line for a terminal, with a further line for each problem.
func (l Line) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s  %s", l.Verdict, progress.Visible(l.Test))
	if l.Kernel != "" {
		fmt.Fprintf(&b, ", on %s", progress.Visible(l.Kernel))
	}
	b.WriteByte('\n')
	for _, p := range l.Problems {
		for line := range strings.Lines(p) {
			fmt.Fprintf(&b, "       %s\n", progress.Visible(strings.TrimRight(line, "\n")))
		}
	}
	return b.String()
}

// Summary says how the tests ended, in a line.
func (r Report) Summary() string {
	n := map[verdict.Verdict]int{}
	for _, l := range r.Tests {
		n[l.Verdict]++
	}
	text := fmt.Sprintf("%s: %d tests, %d passed", progress.Visible(r.Lab), len(r.Tests), n[verdict.Pass])
	if n[verdict.Fail] > 0 {
		text += fmt.Sprintf(", %d failed", n[verdict.Fail])
	}
	if n[verdict.Error] > 0 {
		text += fmt.Sprintf(", %d could not be made", n[verdict.Error])
	}
	return text
}
