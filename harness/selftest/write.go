package selftest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"kernellab/harness/verdict"
	"kernellab/internal/progress"
)

// Encode writes the report as indented JSON.
func (r Report) Encode(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
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
