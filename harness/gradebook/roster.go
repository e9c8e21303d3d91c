package gradebook

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"kernellab/internal/regular"
)

// Person is a student as Canvas or Moodle knows them. Any field may be empty.
type Person struct {
	Name    string // "Doe, Jane" in Canvas
	ID      string // Canvas's number of the user
	SISUser string
	Login   string // Canvas's SIS Login ID
	Section string

	First, Last               string // Moodle's two parts of the name
	Email, IDNumber, Username string
	Identifier                string // Moodle's "Participant 12345"
}

// display returns a name for people.
func (p Person) display() string {
	for _, s := range []string{p.Name, strings.TrimSpace(p.First + " " + p.Last), p.Login, p.Username, p.Email, p.IDNumber, p.ID} {
		if s != "" {
			return s
		}
	}
	return "a student without a name"
}

// Roster is the people of a class.
type Roster struct {
	People  []Person
	columns []string // titles of other columns, such as Canvas's assignments
}

// maxRoster bounds a roster, in bytes.
const maxRoster = 16 << 20

// columns maps the titles of a roster's columns, as fold returns them, to fields.
var columns = map[string]func(*Person) *string{
	"student":       func(p *Person) *string { return &p.Name },
	"name":          func(p *Person) *string { return &p.Name },
	"full name":     func(p *Person) *string { return &p.Name },
	"id":            func(p *Person) *string { return &p.ID },
	"sis user id":   func(p *Person) *string { return &p.SISUser },
	"sis login id":  func(p *Person) *string { return &p.Login },
	"section":       func(p *Person) *string { return &p.Section },
	"first name":    func(p *Person) *string { return &p.First },
	"last name":     func(p *Person) *string { return &p.Last },
	"surname":       func(p *Person) *string { return &p.Last },
	"email address": func(p *Person) *string { return &p.Email },
	"email":         func(p *Person) *string { return &p.Email },
	"id number":     func(p *Person) *string { return &p.IDNumber },
	"username":      func(p *Person) *string { return &p.Username },
	"identifier":    func(p *Person) *string { return &p.Identifier },
}

// fold returns the title of a column without what differs between exports.
func fold(title string) string {
	return strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(title, "_", " ")), " "))
}

// ReadRoster reads a roster: a CSV that Canvas exports from its gradebook, or Moodle from
// its participants or grades. Errors name the file and the line.
func ReadRoster(path string) (*Roster, error) {
	data, err := regular.ReadFile(path, maxRoster)
	if err != nil {
		return nil, fmt.Errorf("read the roster: %w", err)
	}
	r, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return r, nil
}

// parse reads a roster's text. Its errors begin with the line.
func parse(data []byte) (*Roster, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	read := csv.NewReader(bytes.NewReader(data))
	read.FieldsPerRecord = -1
	read.Comma = comma(data)
	head, err := read.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("1: the roster is empty")
	}
	if err != nil {
		return nil, lined(err)
	}
	roster := &Roster{}
	fields := make([]func(*Person) *string, len(head))
	known := false
	for i, title := range head {
		fields[i] = columns[fold(title)]
		known = known || fields[i] != nil && fold(title) != "section"
		if fields[i] == nil {
			roster.columns = append(roster.columns, title)
		}
	}
	if !known {
		return nil, fmt.Errorf(`1: no column identifies a student: want one of Canvas's gradebook ("Student", "ID", "SIS Login ID") or of Moodle's ("Email address", "ID number", "Username")`)
	}
	for {
		cells, err := read.Read()
		if errors.Is(err, io.EOF) {
			return roster, nil
		}
		if err != nil {
			return nil, lined(err)
		}
		if p, ok := person(cells, fields); ok {
			roster.People = append(roster.People, p)
		}
	}
}

// comma returns what separates the cells: Moodle and spreadsheets also write ; and tabs.
func comma(data []byte) rune {
	head, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', bytes.Count(head, []byte(","))
	for _, r := range ";\t" {
		if n := bytes.Count(head, []byte(string(r))); n > most {
			best, most = r, n
		}
	}
	return best
}

// lined begins the error of a CSV reader with its line.
func lined(err error) error {
	var at *csv.ParseError
	if errors.As(err, &at) {
		return fmt.Errorf("%d: %w", at.Line, at.Err)
	}
	return fmt.Errorf("1: %w", err)
}

// person reads a row. Canvas's rows with the points and the posting policies, and its
// test student, are nobody.
func person(cells []string, fields []func(*Person) *string) (Person, bool) {
	var p Person
	for i, c := range cells {
		if i < len(fields) && fields[i] != nil {
			*fields[i](&p) = strings.TrimSpace(c)
		}
	}
	if strings.Contains(p.Name, pointsRow) || p.Name == "Student, Test" {
		return p, false
	}
	return p, p != (Person{Section: p.Section})
}

// column returns the title that the roster has for an assignment of one of the names,
// with the number that Canvas appends, or else the first name.
func (r *Roster) column(names ...string) string {
	for _, title := range r.columns {
		plain := numbered.ReplaceAllString(title, "")
		for _, n := range names {
			if n != "" && strings.EqualFold(strings.TrimSpace(plain), n) {
				return title
			}
		}
	}
	return names[0]
}

var numbered = regexp.MustCompile(` *\([0-9]+\)$`)

// names lists people.
func (r *Roster) names(people []int) string {
	const most = 20
	var names []string
	for _, i := range people[:min(len(people), most)] {
		names = append(names, inert(r.People[i].display()))
	}
	text := strings.Join(names, ", ")
	if more := len(people) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// The names that Canvas and Moodle give to downloaded submissions.
var (
	canvasDownload = regexp.MustCompile(`^([^_]+)(?:_LATE)?_([0-9]+)_[0-9]+_`)
	moodleDownload = regexp.MustCompile(`^(.+)_([0-9]+)_assignsubmission_`)
)

// unlisted returns who handed in a submission, by its name alone.
func unlisted(submission string) Person {
	if m := canvasDownload.FindStringSubmatch(submission); m != nil {
		return Person{Name: m[1], ID: m[2]}
	}
	p := Person{Name: submission, Login: submission, Username: submission}
	if strings.Contains(submission, "@") {
		p.Email, p.Username = submission, ""
	}
	return p
}

// find returns the people that a submission may be of: those with an ID that it is named
// after, else those with the name.
func (r *Roster) find(submission string) []int {
	ids, name := []string{submission}, submission
	if m := canvasDownload.FindStringSubmatch(submission); m != nil {
		ids, name = []string{m[2]}, m[1]
	}
	if m := moodleDownload.FindStringSubmatch(submission); m != nil {
		ids, name = []string{"Participant " + m[2]}, m[1]
	}
	for _, is := range []func(Person) bool{
		func(p Person) bool {
			return slices.ContainsFunc([]string{p.ID, p.SISUser, p.Login, p.Email, p.IDNumber, p.Username, p.Identifier}, func(id string) bool {
				return id != "" && slices.ContainsFunc(ids, func(s string) bool { return strings.EqualFold(s, id) })
			})
		},
		func(p Person) bool { return p.named(name) },
		func(p Person) bool {
			local, _, ok := strings.Cut(p.Email, "@")
			return ok && local != "" && strings.EqualFold(local, name)
		},
	} {
		var found []int
		for i, p := range r.People {
			if is(p) {
				found = append(found, i)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// named reports whether a text is the person's name, whatever the order of its parts.
// Canvas writes "doejane" for "Doe, Jane".
func (p Person) named(text string) bool {
	for _, name := range []string{p.Name, p.First + " " + p.Last, p.Last + " " + p.First} {
		parts := words(name)
		if len(parts) == 0 {
			continue
		}
		if strings.Join(words(text), "") == strings.Join(parts, "") || slices.Equal(sorted(words(text)), sorted(parts)) {
			return true
		}
	}
	return false
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

func sorted(parts []string) []string {
	out := slices.Clone(parts)
	slices.Sort(out)
	return out
}
