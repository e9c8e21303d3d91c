package view

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"strings"
)

//go:embed class.html
var classHTML string

// classPage is the template of a class's page, which has the head of a run's.
var classPage = template.Must(template.Must(template.New("page").Parse(runHTML)).New("class").Parse(classHTML))

// Class is what the page of a class shows.
type Class struct {
	Lab, LabTitle string
	Headline      string // numbers of submissions by verdict
	Part          bool   // the submissions are a part of the class
	Scores        string // mean and median, "" if nobody was graded
	Bars          []Bar  // numbers of students by mark, the smallest mark first
	Help          []Person
	HelpMore      int // who also has a small mark and is not in Help
	Questions     []Question
	Easy          []string // questions that everyone answers right
	Checks        []Rate
	Findings      []Group
	Ungraded      []Person
	Suspects      []Group
	People        []Person
}

// Bar is the number of students with a mark.
type Bar struct {
	From, To, Students int // From and To in per cent
}

// Person is a student's result.
type Person struct {
	Name    string
	File    string // name of the student's page in folder students, "" for none
	Verdict string
	Mark    string
	Why     []string // what was wrong, or why there is no mark
}

// URL returns the address of the student's page, relative to the page of the class.
func (p Person) URL() string {
	if p.File == "" {
		return ""
	}
	return StudentsFolder + "/" + url.PathEscape(p.File)
}

// StudentsFolder is beside the page of a class, and has the pages of the students.
const StudentsFolder = "students"

// Question is a question of the lab, with what was answered.
type Question struct {
	Name, Prompt  string
	Headline      string
	Percent       float64 // of right answers
	Known         bool    // Percent is
	Wrong         []Wrong
	Misconception []Wrong
	Others        []string
}

// Wrong is an answer or a misconception of some students.
type Wrong struct {
	Text     string
	Students int
	Behind   []string // misconceptions
}

// Rate is the share of students who pass a check.
type Rate struct {
	Name    string
	Percent float64
	Says    string
}

// Group is what some students share.
type Group struct {
	Text     string
	Students []string
}

// Names returns the students' names in a line.
func (g Group) Names() string { return strings.Join(g.Students, ", ") }

// chart is the drawing of the marks.
type chart struct {
	Columns []column
	Desc    string
}

type column struct {
	X, Y, Height, Middle, Students int
	Label                          string
}

// The geometry of the marks' drawing, in pixels.
const (
	chartHeight = 130
	chartTop    = 22
	columnApart = 46
)

func newChart(bars []Bar) chart {
	most := 1
	for _, b := range bars {
		most = max(most, b.Students)
	}
	var c chart
	var says []string
	for i, b := range bars {
		h := b.Students * chartHeight / most
		x := 6 + i*columnApart
		c.Columns = append(c.Columns, column{x, chartTop + chartHeight - h, h, x + 19, b.Students, fmt.Sprintf("%d–%d", b.From, b.To)})
		if b.Students > 0 {
			says = append(says, fmt.Sprintf("%d with %d to %d %%", b.Students, b.From, b.To))
		}
	}
	c.Desc = "Students by mark: " + strings.Join(says, ", ") + "."
	return c
}

// WriteClass writes the page of a class.
func WriteClass(w io.Writer, c Class) error {
	return execute(w, classPage, struct {
		frame
		Class
		Chart chart
	}{newFrame(c.Lab+": the class", ""), c, newChart(c.Bars)})
}
