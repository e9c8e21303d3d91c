package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"kernellab/harness/gradebook"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

// Class has the results of a class.
type Class struct {
	Lab      string
	Students []Graded
	Roster   *gradebook.Roster // people of the class, nil if not known
	Part     bool              // the students are a part of the class
	Page     string            // file that has the class as a page, "" if none was written
}

// Graded is one student's result: a verdict document with a result for each
// kernel that the submission was run on.
type Graded struct {
	Student  string
	Document verdict.Document
	Attempts int // more than 1 if the harness failed before
	Took     time.Duration
	Kept     bool // the result is from an earlier call
}

// Trim drops the parts that reports of a class do not show, so that large classes fit
// in memory.
func (g *Graded) Trim() {
	g.Document.Results = slices.Clone(g.Document.Results)
	for i := range g.Document.Results {
		r := &g.Document.Results[i]
		r.Steps, r.Evidence, r.Notes, r.Remarks = nil, nil, nil, nil
		r.Checks = slices.Clone(r.Checks)
		for j := range r.Checks {
			r.Checks[j].Lines, r.Checks[j].Mentions, r.Checks[j].Why = nil, nil, ""
		}
	}
}

// Verdict returns the worst verdict of the results. So a student whose submission
// could not be graded on one kernel is not graded.
func (g Graded) Verdict() verdict.Verdict {
	switch g.Document.ExitCode() {
	case verdict.ExitPass:
		return verdict.Pass
	case verdict.ExitFail:
		return verdict.Fail
	}
	return verdict.Error
}

// Score returns the sum of the scores on all kernels. If graded is false the submission
// could not be graded and has no score, which differs from a score of 0.
func (g Graded) Score() (score, of int, graded bool) {
	for _, r := range g.Document.Results {
		score += r.Score
		of += r.MaxScore
	}
	if g.Verdict() == verdict.Error {
		return 0, of, false
	}
	return score, of, true
}

// Cause returns one line that says why a student was not graded, "" if graded.
func (g Graded) Cause() string {
	for _, r := range g.Document.Results {
		if r.Verdict == verdict.Error {
			line, _, _ := strings.Cut(r.Error, "\n")
			return plain(line)
		}
	}
	return ""
}

// Findings returns the findings of all results, one line each, with the kernel if there
// are several.
func (g Graded) Findings() []string {
	var out []string
	for _, r := range g.Document.Results {
		for _, f := range r.Findings {
			text := plain(f.Message)
			if len(g.Document.Results) > 1 {
				text = where(r) + ": " + text
			}
			out = append(out, text)
		}
	}
	return out
}

// Ending says how the student was graded, in a line.
func (g Graded) Ending() string {
	took := fmt.Sprintf("in %.1f s", g.Took.Seconds())
	score, of, graded := g.Score()
	if !graded {
		return fmt.Sprintf("not graded, %s, %s", g.Cause(), took)
	}
	text := fmt.Sprintf("%s %d/%d %s", g.Verdict(), score, of, took)
	if g.Attempts > 1 {
		text += ", at the second try"
	}
	if f := g.Findings(); g.Verdict() == verdict.Fail && len(f) > 0 {
		text += ": " + shortened(f[0])
	}
	return text
}

// shortened keeps a line of a log a line; the whole is in the student's folder.
func shortened(s string) string {
	const most = 100
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// Formats that only a class has: for a spreadsheet, and for the gradebooks of Canvas and
// Moodle.
const (
	FormatCSV    = "csv"
	FormatCanvas = gradebook.Canvas
	FormatMoodle = gradebook.Moodle
)

// ClassFormats returns the formats of a class, text first.
func ClassFormats() []string {
	return []string{FormatText, FormatJSON, FormatCSV, FormatJUnit, FormatMarkdown, FormatHTML, FormatCanvas, FormatMoodle}
}

// Book returns the grades of the class for a gradebook.
func (c Class) Book() gradebook.Book {
	b := gradebook.Book{Lab: c.Lab, Roster: c.Roster, Part: c.Part}
	for _, g := range c.Students {
		grade := gradebook.Grade{Submission: g.Student}
		grade.Score, grade.Of, grade.Graded = g.Score()
		b.Grades = append(b.Grades, grade)
		for _, r := range g.Document.Results {
			b.Title = cmp.Or(b.Title, r.Title)
		}
	}
	return b
}

// Unplaced returns a sentence for each submission whose grade is not in a gradebook of
// the format, and for the people of the roster without one. Other formats than those of
// gradebooks have every submission, and only a roster to compare with.
func (c Class) Unplaced(format string) []string {
	if format != FormatCanvas && format != FormatMoodle {
		if c.Roster == nil {
			return nil
		}
		format = FormatCanvas
	}
	return c.Book().Problems(format)
}

// WriteClass writes a class in a format. s affects only text. Of a class whose page was
// written to a file, HTML is the name of that file.
func WriteClass(w io.Writer, format string, c Class, s Style) error {
	c = c.written()
	switch format {
	case FormatText:
		return classText(w, c.Summary(), s)
	case FormatJSON:
		return c.Summary().Encode(w)
	case FormatCSV:
		return classCSV(w, c)
	case FormatJUnit:
		return classJUnit(w, c)
	case FormatMarkdown:
		return classMarkdown(w, c.Summary())
	case FormatHTML:
		if c.Page != "" {
			_, err := fmt.Fprintln(w, c.Page)
			return err
		}
		return ClassPage(w, c, func(string) string { return "" })
	case FormatCanvas, FormatMoodle:
		return c.Book().Write(w, format)
	}
	return checkFormat(format, ClassFormats())
}

// written returns c with the sentences of its documents written.
func (c Class) written() Class {
	c.Students = slices.Clone(c.Students)
	for i := range c.Students {
		c.Students[i].Document = words.Document(c.Students[i].Document)
	}
	return c
}

// ExitCode returns the worst exit code of the students. So a class with a student who
// is not graded is not graded.
func (c Class) ExitCode() int {
	worst := verdict.ExitPass
	for _, g := range c.Students {
		worst = max(worst, g.Document.ExitCode())
	}
	if len(c.Students) == 0 {
		return verdict.ExitError
	}
	return worst
}

// column is a check on all kernels of an architecture. One that counts in a group has no
// score of its own.
type column struct {
	arch, name string
	group      bool
}

// columns returns the checks of the class in order, and whether there are several
// architectures.
func (c Class) columns() (columns []column, several bool) {
	seen := map[column]bool{}
	archs := map[string]bool{}
	for _, g := range c.Students {
		for _, r := range g.Document.Results {
			if r.Arch != "" {
				archs[r.Arch] = true
			}
			for _, check := range r.Checks {
				key := column{r.Arch, check.Name, check.Group != ""}
				if !seen[key] {
					seen[key] = true
					columns = append(columns, key)
				}
			}
		}
	}
	slices.SortStableFunc(columns, func(a, b column) int { return cmp.Compare(b.arch, a.arch) })
	return columns, len(archs) > 1
}

func (col column) title(several bool) string {
	if several && col.arch != "" {
		return plain(col.arch + ": " + col.name)
	}
	return plain(col.name)
}

// tally is a student's result for a check on all kernels of its architecture.
type tally struct {
	score  int
	graded bool
	passed bool // on every kernel
}

func (g Graded) tallies() map[column]tally {
	out := map[column]tally{}
	for _, r := range g.Document.Results {
		for _, check := range r.Checks {
			key := column{r.Arch, check.Name, check.Group != ""}
			t, ok := out[key]
			if !ok {
				t = tally{graded: true, passed: true}
			}
			t.score += check.Score
			t.graded = t.graded && r.Verdict != verdict.Error
			t.passed = t.passed && check.Verdict == verdict.Pass
			out[key] = t
		}
	}
	return out
}

// percent returns 100 * part / whole, rounded to one digit after the point.
func percent(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(1000*part/whole) / 10
}
