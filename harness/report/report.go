// Package report writes verdicts: as text for a terminal, and as JSON, JUnit XML, KTAP,
// the results that Gradescope and Classroom 50 read, HTML, and a trace that Perfetto
// opens. It reports runs, labs on many
// kernels, and classes. Package gradebook writes the grades of a class for Canvas and
// Moodle.
//
// It decides nothing: every format has the content of the verdict document. Text from a
// guest is untrusted; its control characters are escaped.
//
// The formats follow the JUnit schema of the Jenkins xUnit plugin, the kernel's
// Documentation/dev-tools/ktap.rst, Gradescope's autograder specification, and Classroom
// 50's result.json, and the Trace Event Format of Chrome.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kernellab/harness/report/view"
	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

// The formats.
const (
	FormatText        = "text"
	FormatJSON        = "json"
	FormatJUnit       = "junit"
	FormatKTAP        = "ktap"
	FormatGradescope  = "gradescope"
	FormatClassroom50 = "classroom50"
	FormatHTML        = "html"
	FormatChromeTrace = "chrome-trace"
)

// Formats returns the formats, text first.
func Formats() []string {
	return []string{FormatText, FormatJSON, FormatJUnit, FormatKTAP, FormatGradescope, FormatClassroom50, FormatHTML, FormatChromeTrace}
}

// FormatError is returned for an unknown format.
type FormatError struct {
	Format  string
	Nearest string // the most similar format, "" if none is similar
	Formats []string
}

func (e *FormatError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("unknown format %q: did you mean %q?", e.Format, e.Nearest)
	}
	return fmt.Sprintf("unknown format %q: use %s", e.Format, strings.Join(e.Formats, ", "))
}

// checkFormat returns a *FormatError for a format that is none of formats.
func checkFormat(format string, formats []string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	err := &FormatError{Format: format, Formats: formats}
	if near := nearest.Words(format, formats); len(near) > 0 {
		err.Nearest = near[0]
	}
	return err
}

// Write writes a document in a format. s affects only text. Classroom 50's format needs
// an identity: see Classroom50.
func Write(w io.Writer, format string, doc verdict.Document, s Style) error {
	doc = words.Document(doc)
	switch format {
	case FormatText:
		return Text(w, doc, s)
	case FormatJSON:
		return doc.Encode(w)
	case FormatJUnit:
		return junitXML(w, doc)
	case FormatKTAP:
		return ktap(w, doc)
	case FormatGradescope:
		return Gradescope{}.Write(w, doc)
	case FormatHTML:
		return view.Write(w, doc)
	case FormatChromeTrace:
		return chromeTrace(w, doc)
	case FormatClassroom50:
		return errors.New("the format of Classroom 50 needs the identity of a submission")
	}
	return checkFormat(format, Formats())
}

// JSON writes a document as indented JSON.
func JSON(w io.Writer, doc any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// id returns a name for a result: "fork-new.x86_64.6.1.0-50-cloud-amd64".
func id(r verdict.Result) string {
	parts := []string{r.Lab, r.Arch, r.Kernel}
	return plain(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "."))
}

// scoreOf returns what a check scored, "" if it counts in a group only.
func scoreOf(c verdict.Check) string {
	if c.Group != "" {
		return ""
	}
	return fmt.Sprintf("%d/%d", c.Score, c.MaxScore)
}

// detail returns lines that explain the result of a check.
func detail(c verdict.Check) []string {
	var out []string
	if c.Kind == verdict.KindQuestion {
		return append(out, append([]string{plain(c.Prompt)}, words.Answer(c, plain)...)...)
	}
	if c.Verdict != verdict.Pass {
		if c.Expected != "" {
			out = append(out, "expected: "+plain(c.Expected))
		}
		out = append(out, "observed: "+plain(c.Observed))
	}
	for _, l := range c.Lines {
		out = append(out, fmt.Sprintf("%-7s  %s", label(l.Mark), plain(l.Text)))
	}
	if c.Verdict != verdict.Pass && c.Why != "" {
		out = append(out, "why: "+plain(c.Why))
	}
	return out
}

// label returns a mark in gradelib's words.
func label(m verdict.Mark) string {
	switch m {
	case verdict.Good:
		return "GOOD"
	case verdict.Bad:
		return "BAD"
	case verdict.Missing:
		return "MISSING"
	}
	return ""
}

// unique returns name, with a number if name is in seen, and adds it to seen.
func unique(seen map[string]bool, name string) string {
	out := name
	for n := 2; seen[out]; n++ {
		out = fmt.Sprintf("%s (%d)", name, n)
	}
	seen[out] = true
	return out
}
