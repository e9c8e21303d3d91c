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

// FormatMarkdown is a format of a matrix alone, for the summary of a CI job.
const FormatMarkdown = "markdown"

// Matrix is the outcome of labs × kernels × architectures.
type Matrix struct {
	Results []verdict.Result
	// Comparisons with a baseline, in the order of Results; nil without one.
	Comparisons []regress.Comparison
	// Strict says that a change which breaks nothing does not pass either.
	Strict bool
}

// MatrixFormats returns the formats of a matrix, text first.
func MatrixFormats() []string {
	return []string{FormatText, FormatJSON, FormatJUnit, FormatMarkdown}
}

// Accepted reports whether the result at index i is good: it passes, or fails as
// the baseline says it does; and where Strict, nothing about it has changed.
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

// ExitCode returns the worst exit code of the results: 3 where one could not be
// graded, 1 where one is not accepted; no results at all are 3.
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

// WriteMatrix writes a matrix in a format; s matters to text alone.
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

// grid is a matrix as a table: a row a kernel, a column a lab.
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

// or returns s, and what stands for nothing when it is empty.
func or(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// word is a result in a cell: "pass 14/14".
func word(r verdict.Result) string {
	if r.Verdict == verdict.Error {
		return "error"
	}
	return fmt.Sprintf("%s %d/%d", r.Verdict, r.Score, r.MaxScore)
}

// trouble tells in a line why a result is no pass, "" when it is one.
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

// where names a result's kernel for a person.
func where(r verdict.Result) string {
	return strings.TrimSpace(or(r.Kernel) + " " + r.Arch)
}

// summary counts: "7 runs: 6 passed, 1 could not be graded; 2 kernels changed,
// 1 regression".
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

// matrixText writes the table, then why each that is no pass is none, then what
// changed.
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

// cell is a result in the text's table.
func (m Matrix) cell(p *page, i int) (string, lipgloss.Style) {
	r := m.Results[i]
	switch {
	case r.Passed() && m.Accepted(i):
		return "✓ " + word(r), p.good
	case r.Verdict == verdict.Error:
		return "! " + word(r), p.warn
	case m.Accepted(i):
		return "· " + word(r), p.warn // fails as it is known to
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
