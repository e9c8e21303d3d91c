package matrix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kernellab/harness"
	"kernellab/harness/prepare"
	"kernellab/harness/regress"
	"kernellab/harness/report"
	"kernellab/harness/verdict"
)

// Compare returns the results of runs, and what a baseline records of each. With
// compare, the results have the changes from base.
func Compare(base regress.Baseline, finished []harness.Finished, strict, compare bool) (report.Matrix, []regress.Entry) {
	m := report.Matrix{Strict: strict}
	var entries []regress.Entry
	for _, f := range finished {
		e := regress.Record(f.Trace, f.Result)
		m.Results, entries = append(m.Results, f.Result), append(entries, e)
		if compare {
			m.Comparisons = append(m.Comparisons, base.Compare(e, f.Result))
		}
	}
	return m, entries
}

// Write writes the results into a folder; "" is none.
func Write(dir string, m report.Matrix) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of --out: %w", err)
	}
	if err := prepare.WriteVerdict(dir, verdict.NewDocument(m.Results...)); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "matrix.json"))
	if err != nil {
		return err
	}
	return errors.Join(report.WriteMatrix(file, report.FormatJSON, m, report.Style{}), file.Close())
}
