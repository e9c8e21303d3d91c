// Package gradebook writes the grades of a class as CSV that Canvas and Moodle import,
// and reads the rosters that they export, which map submissions to people.
//
// It follows the importers' sources: Canvas's lib/gradebook_importer.rb, and Moodle's
// grade/import/csv/classes/load_data.php. A submission that was not graded has no grade,
// which is never 0.
package gradebook

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The formats.
const (
	Canvas = "canvas"
	Moodle = "moodle"
)

// Grade is the result of a submission.
type Grade struct {
	Submission string // name of its folder or archive
	Score, Of  int    // points
	Graded     bool   // if false, there is no score
}

// share returns the grade on a scale to most, rounded to two digits after the point.
func (g Grade) share(most int) string {
	v := float64(g.Score) * float64(most) / float64(g.Of)
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func (g Grade) has() bool { return g.Graded && g.Of > 0 }

// Book is the grades of a class for one assignment.
type Book struct {
	Lab    string // title of the grades' column
	Title  string // another title that the column may have in the roster
	Grades []Grade
	Roster *Roster // nil if there is none: then the submissions' names identify the students
	Part   bool    // the grades are not those of the whole class
}

// row is a line of the file.
type row struct {
	Grade
	Person
}

// placed is a book's rows, and the submissions that have none.
type placed struct {
	rows     []row
	problems []string
}

// Problems returns a sentence for each submission that is not in the file of a format,
// and for the people of the roster who have no submission.
func (b Book) Problems(format string) []string {
	if format == Moodle {
		p, _ := b.moodle()
		return p.problems
	}
	return b.place().problems
}

// place finds the person of each submission.
func (b Book) place() placed {
	var p placed
	if b.Roster == nil {
		for _, g := range b.Grades {
			p.rows = append(p.rows, row{g, unlisted(g.Submission)})
		}
		return p
	}
	found := map[int][]Grade{} // by index of the person
	for _, g := range b.Grades {
		switch people := b.Roster.find(g.Submission); len(people) {
		case 0:
			p.problem("%s is not in the roster: its grade is left out", inert(g.Submission))
		case 1:
			found[people[0]] = append(found[people[0]], g)
		default:
			p.problem("%s may be any of %s in the roster: its grade is left out", inert(g.Submission), b.Roster.names(people))
		}
	}
	var missing []int
	for i, person := range b.Roster.People {
		switch grades := found[i]; len(grades) {
		case 0:
			missing = append(missing, i)
		case 1:
			p.rows = append(p.rows, row{grades[0], person})
		default:
			var names []string
			for _, g := range grades {
				names = append(names, inert(g.Submission))
			}
			p.problem("%s are all of %s: their grades are left out; keep one", strings.Join(names, ", "), inert(person.display()))
		}
	}
	if len(missing) > 0 && !b.Part {
		p.problem("no submission of %s: no grade is written for them", b.Roster.names(missing))
	}
	return p
}

func (p *placed) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// Write writes the book in a format.
func (b Book) Write(w io.Writer, format string) error {
	var lines [][]string
	switch format {
	case Canvas:
		lines = b.canvas()
	case Moodle:
		p, columns := b.moodle()
		lines = b.moodleLines(p, columns)
	default:
		return fmt.Errorf("unknown gradebook %q", format)
	}
	out := csv.NewWriter(w)
	for _, line := range lines {
		for i, c := range line {
			line[i] = inert(c)
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write grades: %w", err)
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write grades: %w", err)
	}
	return nil
}

// pointsRow marks the row of Canvas that has the points of the assignments.
const pointsRow = "Points Possible"

// canvas returns the lines of Canvas's format. Its importer finds a student by the ID,
// else by the SIS IDs, else by the name. An empty grade stays one.
func (b Book) canvas() [][]string {
	most := 0
	for _, g := range b.Grades {
		most = max(most, g.Of)
	}
	column := b.Lab
	if b.Roster != nil {
		column = b.Roster.column(b.Lab, b.Title)
	}
	lines := [][]string{
		{"Student", "ID", "SIS User ID", "SIS Login ID", "Section", column},
		{"    " + pointsRow, "", "", "", "", strconv.Itoa(most)},
	}
	for _, r := range b.place().rows {
		grade := ""
		if r.has() {
			grade = r.share(most)
		}
		name := r.Name
		if strings.Contains(name, pointsRow) {
			name = "" // it would be taken for the row of points
		}
		lines = append(lines, []string{name, r.ID, r.SISUser, r.Login, r.Section, grade})
	}
	return lines
}

// identity is a column by which Moodle finds a user.
type identity struct {
	title string
	of    func(Person) string
}

// identities are those of Moodle's importer, the one that is least often empty first.
var identities = []identity{
	{"Email address", func(p Person) string { return p.Email }},
	{"Username", func(p Person) string { return p.Username }},
	{"ID number", func(p Person) string { return p.IDNumber }},
}

// usable reports whether Moodle finds a user by a text. An empty one, which "0" is to
// PHP, counts for the user of the line before; one that a spreadsheet could take for a
// formula is not written as it is.
func usable(id string) bool { return id != "" && id != "0" && inert(id) == id }

// moodle returns the rows of Moodle's format, and the columns that identify users: those
// that are usable in every row, or else the one that is in most. As a single user that it
// does not find makes Moodle import nothing, the other rows are left out.
func (b Book) moodle() (placed, []identity) {
	p := b.place()
	var columns []identity
	best, most := identities[0], -1
	for _, id := range identities {
		n := 0
		for _, r := range p.rows {
			if usable(id.of(r.Person)) {
				n++
			}
		}
		if n == len(p.rows) && n > 0 {
			columns = append(columns, id)
		}
		if n > most {
			best, most = id, n
		}
	}
	if len(columns) > 0 {
		return p, columns
	}
	p.rows = slices.DeleteFunc(p.rows, func(r row) bool {
		bad := !usable(best.of(r.Person))
		if bad {
			p.problem("%s has no usable %s: its grade is left out", inert(r.Submission), strings.ToLower(best.title))
		}
		return bad
	})
	return p, []identity{best}
}

// noGrade is Moodle's text for no grade. An empty cell would become the grade 0 in a new
// grade item.
const noGrade = "-"

// moodleMost is the highest grade of a new grade item.
const moodleMost = 100

func (b Book) moodleLines(p placed, columns []identity) [][]string {
	var head []string
	for _, c := range columns {
		head = append(head, c.title)
	}
	lines := [][]string{append(head, b.Lab)}
	for _, r := range p.rows {
		var line []string
		for _, c := range columns {
			line = append(line, c.of(r.Person))
		}
		grade := noGrade
		if r.has() {
			grade = r.share(moodleMost)
		}
		lines = append(lines, append(line, grade))
	}
	return lines
}

// inert returns a text as a cell that no spreadsheet takes for a formula and that has no
// control characters.
func inert(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
	if s != noGrade && s != "" && strings.ContainsRune("=+-@", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
