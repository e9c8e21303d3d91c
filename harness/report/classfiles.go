package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"kernellab/harness/verdict"
)

// classCSV writes one line per student with a score for each check, or without scores
// if the submission could not be graded (RFC 4180).
func classCSV(w io.Writer, c Class) error {
	columns, several := c.columns()
	columns = slices.DeleteFunc(columns, func(col column) bool { return col.group })
	head := []string{"student", "score", "max_score", "verdict", "attempts", "findings", "error"}
	for _, col := range columns {
		head = append(head, cell(col.title(several)))
	}
	out := csv.NewWriter(w)
	if err := out.Write(head); err != nil {
		return fmt.Errorf("write grades: %w", err)
	}
	for _, g := range c.Students {
		score, of, graded := g.Score()
		row := []string{cell(plain(g.Student)), "", strconv.Itoa(of), string(g.Verdict()), strconv.Itoa(g.Attempts), cell(strings.Join(g.Findings(), " | ")), cell(g.Cause())}
		if graded {
			row[1] = strconv.Itoa(score)
		}
		tallies := g.tallies()
		for _, col := range columns {
			t, ok := tallies[col]
			if !ok || !graded {
				row = append(row, "")
				continue
			}
			row = append(row, strconv.Itoa(t.score))
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("write grades: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write grades: %w", err)
	}
	return nil
}

// cell prevents a spreadsheet from interpreting a text, which a student may have
// chosen, as a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// classJUnit writes one suite per student and kernel.
func classJUnit(w io.Writer, c Class) error {
	var results []verdict.Result
	var students []string
	for _, g := range c.Students {
		for _, r := range g.Document.Results {
			results = append(results, r)
			students = append(students, g.Student)
		}
	}
	return writeJUnit(w, verdict.NewDocument(results...), students, func(int, func(junit.Testcase)) {})
}
