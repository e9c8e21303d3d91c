package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"

	"kernellab/harness/regress"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// MatrixSchema names the document of a matrix and its version.
const MatrixSchema = "lab.matrix/1"

// FormatMarkdown is a format for the summary of a CI job, for a matrix or a class.
const FormatMarkdown = "markdown"

// Matrix has the results of labs on kernels.
type Matrix struct {
	Results []verdict.Result
	// Comparisons with a baseline, in the order of Results; nil without one.
	Comparisons []regress.Comparison
	// Strict says that any change fails, even if it is not a regression.
	Strict bool
}

// MatrixFormats returns the formats of a matrix, text first.
func MatrixFormats() []string {
	return []string{FormatText, FormatJSON, FormatJUnit, FormatMarkdown}
}

// Accepted reports whether result i passes or fails as in the baseline, without a
// regression. With Strict it must be unchanged.
func (m Matrix) Accepted(i int) bool {
	r := m.Results[i]
	if m.Comparisons == nil {
		return r.Passed()
	}
	c := m.Comparisons[i]
	if c.Regressed() || m.Strict && len(c.Changes) > 0 {
		return false
	}
	return r.Passed() || r.Verdict == verdict.Fail && c.Known
}

// ExitCode returns 3 if there is no result or one could not be graded, 1 if one is not
// accepted, and 0 otherwise.
func (m Matrix) ExitCode() int {
	if len(m.Results) == 0 {
		return verdict.ExitError
	}
	code := verdict.ExitPass
	for i, r := range m.Results {
		switch {
		case r.ExitCode() == verdict.ExitError:
			return verdict.ExitError
		case !m.Accepted(i):
			code = verdict.ExitFail
		}
	}
	return code
}

// WriteMatrix writes a matrix in a format. s affects only text.
func WriteMatrix(w io.Writer, format string, m Matrix, s Style) error {
	m.Results = words.Document(verdict.Document{Results: m.Results}).Results
	switch format {
	case FormatText:
		return matrixText(w, m, s)
	case FormatJSON:
		return matrixJSON(w, m)
	case FormatJUnit:
		return matrixJUnit(w, m)
	case FormatMarkdown:
		return matrixMarkdown(w, m)
	}
	return checkFormat(format, MatrixFormats())
}

func matrixJSON(w io.Writer, m Matrix) error {
	doc := struct {
		Schema      string               `json:"schema"`
		Results     []verdict.Result     `json:"results"`
		Comparisons []regress.Comparison `json:"comparisons,omitempty"`
	}{MatrixSchema, append([]verdict.Result{}, m.Results...), m.Comparisons}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("write matrix: %w", err)
	}
	return nil
}

// grid is a matrix as a table, with one row per kernel and one column per lab.
type grid struct {
	labs []string
	rows []gridRow
}

type gridRow struct {
	arch, kernel string
	cells        []int // index of a result, -1 for none
}

func (m Matrix) grid() grid {
	var g grid
	for _, r := range m.Results {
		if !slices.Contains(g.labs, r.Lab) {
			g.labs = append(g.labs, r.Lab)
		}
	}
	for i, r := range m.Results {
		column := slices.Index(g.labs, r.Lab)
		at := slices.IndexFunc(g.rows, func(row gridRow) bool {
			return row.arch == r.Arch && row.kernel == r.Kernel && row.cells[column] < 0
		})
		if at < 0 {
			at = len(g.rows)
			g.rows = append(g.rows, gridRow{arch: r.Arch, kernel: r.Kernel, cells: slices.Repeat([]int{-1}, len(g.labs))})
		}
		g.rows[at].cells[column] = i
	}
	return g
}

// or returns s, or a dash if it is empty.
func or(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// word returns a result for a cell: "pass 14/14".
func word(r verdict.Result) string {
	if r.Verdict == verdict.Error {
		return "error"
	}
	return fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore)
}

// trouble returns one line that says why a result did not pass, "" if it did.
func trouble(r verdict.Result) string {
	switch {
	case r.Passed():
		return ""
	case r.Error != "":
		line, _, _ := strings.Cut(r.Error, "\n")
		return "could not be graded: " + line
	case len(r.Findings) > 0:
		return r.Findings[0].Message
	}
	return "failed"
}

// where returns a result's kernel and architecture.
func where(r verdict.Result) string {
	return strings.TrimSpace(or(r.Kernel) + " " + r.Arch)
}

// summary returns the counts: "7 runs: 6 passed, 1 could not be graded; against the
// baseline 1 regression, 2 more with changes".
func (m Matrix) summary() string {
	count := map[verdict.Verdict]int{}
	for _, r := range m.Results {
		count[r.Verdict]++
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{count[verdict.Pass], "passed"}, {count[verdict.Fail], "failed"}, {count[verdict.Error], "could not be graded"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "nothing was run"
	}
	s := plural(len(m.Results), "run") + ": " + strings.Join(parts, ", ")
	if m.Comparisons == nil {
		return s
	}
	changed, regressed, fresh := 0, 0, 0
	for _, c := range m.Comparisons {
		switch {
		case c.Regressed():
			regressed++
		case len(c.Changes) > 0:
			changed++
		case c.Against == "":
			fresh++
		}
	}
	s += fmt.Sprintf("; against the baseline %s, %d more with changes", plural(regressed, "regression"), changed)
	if fresh > 0 {
		s += fmt.Sprintf(", %d with nothing to compare with", fresh)
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// matrixText writes the table, the results that did not pass, and the changes.
func matrixText(w io.Writer, m Matrix, s Style) error {
	p := newPage(w, s)
	if len(m.Results) == 0 {
		p.line("%s  nothing was run", p.warn.Render("ERROR"))
		return p.err
	}
	g := m.grid()
	archWidth, kernelWidth := len("ARCH"), len("KERNEL")
	for _, row := range g.rows {
		archWidth = max(archWidth, utf8.RuneCountInString(plain(or(row.arch))))
		kernelWidth = max(kernelWidth, utf8.RuneCountInString(plain(or(row.kernel))))
	}
	widths := make([]int, len(g.labs))
	head := pad("KERNEL", kernelWidth) + "  " + pad("ARCH", archWidth)
	for i, lab := range g.labs {
		widths[i] = max(utf8.RuneCountInString(plain(lab)), len("✗ fail 14/14")-2)
		head += "  " + pad(plain(lab), widths[i])
	}
	p.line("%s", p.title.Render(strings.TrimRight(head, " ")))
	for _, row := range g.rows {
		line := pad(plain(or(row.kernel)), kernelWidth) + "  " + pad(plain(or(row.arch)), archWidth)
		for i, at := range row.cells {
			cell, style := "–", p.dim
			if at >= 0 {
				cell, style = m.cell(p, at)
			}
			line += "  " + style.Render(pad(cell, widths[i]))
		}
		p.line("%s", line)
	}
	m.troubles(p)
	m.changes(p)
	p.line("\n%s", m.summary())
	return p.err
}

// cell returns a result for the table in text.
func (m Matrix) cell(p *page, i int) (string, lipgloss.Style) {
	r := m.Results[i]
	switch {
	case r.Passed() && m.Accepted(i):
		return "✓ " + word(r), p.good
	case r.Verdict == verdict.Error:
		return "! " + word(r), p.warn
	case m.Accepted(i):
		return "· " + word(r), p.warn // a known failure
	}
	return "✗ " + word(r), p.bad
}

func (m Matrix) troubles(p *page) {
	told := false
	for _, r := range m.Results {
		text := trouble(r)
		if text == "" {
			continue
		}
		if !told {
			p.line("\n%s", p.title.Render("Not passed"))
			told = true
		}
		p.text("", 2, lipgloss.NewStyle(), plain(r.Lab+" on "+where(r)+": "+text))
	}
}

func (m Matrix) changes(p *page) {
	if m.Comparisons == nil {
		return
	}
	p.line("\n%s", p.title.Render("Against the baseline"))
	for _, c := range m.Comparisons {
		mark, style := "=", p.dim
		switch {
		case c.Regressed():
			mark, style = "✗", p.bad
		case len(c.Changes) > 0:
			mark, style = "~", p.warn
		case c.Against == "":
			mark, style = "+", p.warn
		}
		p.text("  "+style.Render(mark), 4, lipgloss.NewStyle(), plain(c.Sentence))
	}
}
