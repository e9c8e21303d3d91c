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

// compare returns the results of runs, and what a baseline records of each. The results
// have the changes from base, unless there is no baseline or its file is new.
func (m Matrix) compare(base regress.Baseline, finished []harness.Finished) (report.Matrix, []regress.Entry) {
	results := report.Matrix{Strict: m.Strict}
	var entries []regress.Entry
	compare := m.Baseline != "" && (!m.Update || len(base.Entries) > 0)
	for _, f := range finished {
		e := regress.Record(f.Trace, f.Result)
		results.Results, entries = append(results.Results, f.Result), append(entries, e)
		if compare {
			results.Comparisons = append(results.Comparisons, base.Compare(e, f.Result))
		}
	}
	return results, entries
}

// write writes the results into a folder; "" is none.
func write(dir string, m report.Matrix) error {
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
