// Package view writes the verdicts of runs as one file of HTML for a browser: the lab's
// question and the verdict, the path of the tasks in the guest's time, what was seen at
// each stop, and the checks. It also writes the page of a class.
//
// It shows what a verdict document has and reads nothing else, so what harness/redact
// took out of the document is in no page. The file needs no network and can be read
// without JavaScript; its policy lets the browser load nothing and run no script but
// the one that steps through the stops. Names and outputs of guests and of students are
// escaped by html/template, and their control characters by words.Plain.
package view

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"kernellab/harness/report/words"
	"kernellab/harness/verdict"
)

var (
	//go:embed run.html
	runHTML string
	//go:embed style.css
	styleCSS string
	//go:embed step.js
	stepJS string
)

// runPage is the template of the page. A template does not change once it is parsed.
var runPage = template.Must(template.New("page").Parse(runHTML))

// document is what the template shows.
type document struct {
	frame
	Results []result
	Several bool
	Student string // whose submission it is, "" if that is not said
}

// frame is what every page has.
type frame struct {
	Title         string
	Policy        string
	Style, Script template.HTML
}

// newFrame returns the frame of a page. Without a script the page has none.
func newFrame(title, script string) frame {
	sum := func(text string) string {
		h := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
	}
	style, script := plain(styleCSS), plain(script)
	f := frame{Title: title, Policy: "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + sum(style)}
	f.Style = template.HTML("<style>" + style + "</style>")
	if script != "" {
		f.Policy += "; script-src " + sum(script)
		f.Script = template.HTML("<script>" + script + "</script>")
	}
	return f
}

// Write writes the page of a document.
func Write(w io.Writer, doc verdict.Document) error { return WriteStudent(w, doc, "") }

// WriteStudent writes the page of a document with the name of the student whose
// submission it is about.
func WriteStudent(w io.Writer, doc verdict.Document, student string) error {
	doc = words.Document(doc)
	p := document{frame: newFrame("lab", stepJS), Several: len(doc.Results) > 1, Student: words.Plain(student)}
	for i, r := range doc.Results {
		p.Results = append(p.Results, newResult(fmt.Sprintf("r%d", i+1), r))
	}
	if len(doc.Results) > 0 {
		p.Title = doc.Results[0].Lab + ": " + p.Results[0].Word
	}
	return execute(w, runPage, p)
}

// execute writes a page without control characters.
func execute(w io.Writer, t *template.Template, data any) error {
	var b bytes.Buffer
	err := t.Execute(&b, data)
	if err == nil {
		_, err = io.WriteString(w, plain(b.String()))
	}
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// plain is words.Plain for several lines.
func plain(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = words.Plain(l)
	}
	return strings.Join(lines, "\n")
}

// result is a verdict.Result as the template shows it.
type result struct {
	ID string
	verdict.Result
	Word, On string
	Findings []finding
	Lanes    *lanes
	Stops    []Stop
	Checks   []check
	NoneMade string // why no check was made, where that is the same for all
	Answers  []answer
}

// finding is a verdict.Finding, and the stop that it is about.
type finding struct {
	Message string
	Stop    string // ID, "" for none
	Number  int    // of the step
	Text    string
}

// check is a verdict.Check in sentences.
type check struct {
	verdict.Check
	Says    string
	Members []check // of a group
}

// answer is what was answered to a question.
type answer struct {
	verdict.Check
	Says []string
}

func newResult(id string, r verdict.Result) result {
	out := result{ID: id, Result: r, Word: word(r.Verdict), On: on(r)}
	out.Stops = Stops(id, r)
	out.Lanes = newLanes(out.Stops)
	for _, f := range r.Findings {
		x := finding{Message: f.Message, Text: strings.TrimRight(f.Text, "\n")}
		if i := slices.IndexFunc(out.Stops, func(s Stop) bool { return s.Number > 0 && s.Number == f.Step }); i >= 0 {
			x.Stop, x.Number = out.Stops[i].ID, f.Step
		}
		out.Findings = append(out.Findings, x)
	}
	if r.Verdict != verdict.Error || r.Score > 0 {
		out.checks(r.Checks)
	}
	return out
}

// checks fills in the checks and the answers, the members of a group under it.
func (r *result) checks(all []verdict.Check) {
	group := map[string]int{} // place in r.Checks
	for _, c := range all {
		if c.Kind == verdict.KindGroup {
			group[c.Name] = len(group)
		}
	}
	members := map[string][]check{}
	for _, c := range all {
		if _, ok := group[c.Group]; ok && c.Kind == "" && c.Group != "" {
			members[c.Group] = append(members[c.Group], check{Check: c, Says: says(c)})
		}
	}
	for _, c := range all {
		switch _, in := group[c.Group]; {
		case c.Kind == verdict.KindQuestion:
			r.Answers = append(r.Answers, answer{c, words.Answer(c, func(s string) string { return s })})
		case in && c.Kind == "" && c.Group != "": // comes below its group
		default:
			r.Checks = append(r.Checks, check{c, says(c), members[c.Name]})
		}
	}
}

// Mark returns the sign of a check's verdict.
func (c check) Mark() string { return mark(c.Verdict) }

// Mark returns the sign of an answer's verdict.
func (a answer) Mark() string { return mark(a.Verdict) }

func mark(v verdict.Verdict) string {
	return map[verdict.Verdict]string{verdict.Pass: "✓", verdict.Fail: "✗", verdict.Skip: "–"}[v]
}

// Points returns what a check scored, "" if it counts in a group only.
func (c check) Points() string {
	if c.Group != "" {
		return ""
	}
	return fmt.Sprintf("%d of %d", c.Score, c.MaxScore)
}

// Open reports whether a group's members are worth reading first.
func (c check) Open() bool { return c.Verdict != verdict.Pass }

// says writes what a check expected and observed as a sentence.
func says(c verdict.Check) string {
	switch {
	case c.Verdict == verdict.Skip:
		return "Not checked: " + c.Observed + "."
	case c.Kind == verdict.KindGroup || c.Got != nil && c.Got.Case == verdict.CaseHolds:
		return first(c.Observed) + "."
	case c.Verdict == verdict.Pass && c.Expected == c.Observed:
		return "Expected and observed: " + c.Observed + "."
	case c.Expected == "":
		return "Observed: " + c.Observed + "."
	}
	return "Expected: " + c.Expected + ". Observed: " + c.Observed + "."
}

// first returns s with a capital letter.
func first(s string) string {
	for i, r := range s {
		if i == 0 {
			return strings.ToUpper(string(r)) + s[len(string(r)):]
		}
	}
	return s
}

func word(v verdict.Verdict) string {
	return map[verdict.Verdict]string{verdict.Pass: "Passed", verdict.Fail: "Failed", verdict.Error: "Could not be graded"}[v]
}

// on says where and how long a lab ran.
func on(r verdict.Result) string {
	var parts []string
	for _, p := range [][2]string{{"", r.Arch}, {"Linux ", r.Kernel}, {"QEMU ", r.QEMU}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	if r.Duration > 0 {
		parts = append(parts, fmt.Sprintf("%s of the guest's time", r.Duration.Round(time.Millisecond)))
	}
	if r.Attempts > 1 {
		parts = append(parts, fmt.Sprintf("%d attempts", r.Attempts))
	}
	return strings.Join(parts, " · ")
}
