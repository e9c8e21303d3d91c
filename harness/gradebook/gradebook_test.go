package gradebook

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// canvasExport is what Canvas exports: a column for the assignment, the row of points,
// and its test student.
const canvasExport = "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,fork-new (991),Current Score\n" +
	"    Points Possible,,,,,10,(read only)\n" +
	`"Doe, Jane",101,S1,jdoe,Lab A,,` + "\n" +
	`"Łukasz, Ola",102,S2,ola@uni.example,Lab A,3,` + "\n" +
	`"Zed, Al",103,S3,azed,Lab B,,` + "\n" +
	`"Student, Test",104,,,Lab A,,` + "\n"

const moodleExport = "First name;Last name;ID number;Email address;Groups\n" +
	"Jane;Doe;N1;jane.doe@uni.example;A\n" +
	"Ola;Łukasz;N2;ola@uni.example;A\n" +
	"Al;Zed;;azed@uni.example;B\n"

func roster(t *testing.T, text string) *Roster {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roster.csv")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := ReadRoster(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func written(t *testing.T, b Book, format string) string {
	t.Helper()
	var out strings.Builder
	if err := b.Write(&out, format); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCanvas(t *testing.T) {
	b := Book{Lab: "fork-new", Title: "A process is born", Roster: roster(t, canvasExport), Grades: []Grade{
		{"jdoe", 14, 14, true}, {"łukaszola_LATE_102_555_prog", 4, 7, true}, {"stranger", 3, 14, true},
	}}
	want := "Student,ID,SIS User ID,SIS Login ID,Section,fork-new (991)\n" +
		`"    Points Possible",,,,,14` + "\n" +
		`"Doe, Jane",101,S1,jdoe,Lab A,14` + "\n" +
		`"Łukasz, Ola",102,S2,ola@uni.example,Lab A,8` + "\n"
	if diff := cmp.Diff(want, written(t, b, Canvas)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	problems := []string{"stranger is not in the roster: its grade is left out", "no submission of Zed, Al: no grade is written for them"}
	if diff := cmp.Diff(problems, b.Problems(Canvas)); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	b.Roster, b.Grades = nil, b.Grades[1:2]
	if got := written(t, b, Canvas); !strings.Contains(got, "łukaszola,102,,,,4\n") {
		t.Errorf("a download's name has Canvas's number of the student:\n%s", got)
	}
}

func TestMoodle(t *testing.T) {
	b := Book{Lab: "fork-new", Roster: roster(t, moodleExport), Grades: []Grade{
		{"Jane Doe_77_assignsubmission_file_", 9, 14, true}, {"n2", 0, 14, true}, {"azed", 0, 14, false},
	}}
	want := "Email address,fork-new\njane.doe@uni.example,64.29\nola@uni.example,0\nazed@uni.example,-\n"
	if diff := cmp.Diff(want, written(t, b, Moodle)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if p := b.Problems(Moodle); len(p) > 0 {
		t.Errorf("problems %q", p)
	}
	// Where no column has everybody, the students without one are named and left out: a
	// row without an identity would be that of the student before.
	b.Roster = roster(t, "Full name,ID number\nJane Doe,N1\nOla,N2\nAl Zed,\n")
	b.Grades[2].Submission = "zed, al"
	if got := written(t, b, Moodle); got != "ID number,fork-new\nN1,64.29\nN2,0\n" {
		t.Errorf("got %s", got)
	}
	if diff := cmp.Diff([]string{"zed, al has no usable id number: its grade is left out"}, b.Problems(Moodle)); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	b.Roster, b.Grades = nil, []Grade{{"alice", 1, 3, true}, {"bob", 0, 0, true}}
	if got := written(t, b, Moodle); got != "Username,fork-new\nalice,33.33\nbob,-\n" {
		t.Errorf("without a roster: %s", got)
	}
	b.Grades = append(b.Grades, Grade{"0", 1, 3, true}) // which is empty to PHP
	if got := written(t, b, Moodle); got != "Username,fork-new\nalice,33.33\nbob,-\n" {
		t.Errorf("with a user 0: %s", got)
	}
}

// What was not graded has an empty grade, never 0.
func TestNotGraded(t *testing.T) {
	b := Book{Lab: "fork-new", Grades: []Grade{{"a", 5, 14, false}, {"b", 0, 14, true}}}
	for format, want := range map[string][]string{Canvas: {"14", "", "0"}, Moodle: {"-", "0"}} {
		lines, err := csv.NewReader(strings.NewReader(written(t, b, format))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range lines[1:] {
			got = append(got, line[len(line)-1])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", format, diff)
		}
	}
}

// Two submissions of one student, and one that may be of two, are named and not written.
func TestAmbiguous(t *testing.T) {
	r := roster(t, "Student,ID,SIS Login ID\nSam Roe,1,a\nSam Roe,2,b\nTwo Times,3,c\n")
	b := Book{Lab: "fork-new", Roster: r, Part: true, Grades: []Grade{{"sam roe", 1, 2, true}, {"c", 1, 2, true}, {"Two Times", 2, 2, true}}}
	want := []string{
		"sam roe may be any of Sam Roe, Sam Roe in the roster: its grade is left out",
		"c, Two Times are all of Two Times: their grades are left out; keep one",
	}
	if diff := cmp.Diff(want, b.Problems(Canvas)); diff != "" {
		t.Errorf("problems -want +got:\n%s", diff)
	}
	if got := written(t, b, Canvas); strings.Count(got, "\n") != 2 {
		t.Errorf("written:\n%s", got)
	}
}

// hostile are names that a spreadsheet, a terminal or an importer could take for
// something else.
var hostile = []string{"=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", "\t=1", "\r\n=1", "a\x1b[2J\nb", "Points Possible", "x,\"y\";z", "\u202etxt", "\xff\xfe", "Student"}

func TestHostileNames(t *testing.T) {
	var grades []Grade
	for _, name := range hostile {
		grades = append(grades, Grade{name, 1, 2, true})
	}
	header := "Student,ID,SIS User ID,SIS Login ID,Section,Email address,Username\n"
	var people strings.Builder
	w := csv.NewWriter(&people)
	for _, name := range hostile {
		w.Write([]string{name, name, name, name, name, name, name})
	}
	w.Flush()
	for how, r := range map[string]*Roster{"no roster": nil, "a roster": roster(t, header+people.String())} {
		b := Book{Lab: "=lab", Grades: grades, Roster: r}
		for _, format := range []string{Canvas, Moodle} {
			text := written(t, b, format)
			lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range lines {
				for _, c := range line {
					if strings.ContainsAny(c, "\x1b\r\n\t\u202e") || c != noGrade && c != "" && strings.ContainsRune("=+-@", rune(c[0])) {
						t.Errorf("%s, %s: cell %q", how, format, c)
					}
				}
				if points := strings.Contains(line[0], pointsRow); points != (i == 1 && format == Canvas) && format == Canvas {
					t.Errorf("%s: line %d %q is taken for the points", how, i, line)
				}
				if format == Moodle && i > 0 && strings.HasPrefix(line[0], "'") {
					t.Errorf("%s: line %d has a user that Moodle does not find: %q", how, i, line)
				}
			}
			for _, p := range b.Problems(format) {
				if strings.ContainsAny(p, "\x1b\r\n\t\u202e") {
					t.Errorf("%s: the problem %q", format, p)
				}
			}
		}
	}
}

func TestReadRosterRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, want string }{
		"empty":   {"", ":1: the roster is empty"},
		"no ID":   {"Section,Mark\nA,1\n", ":1: no column identifies a student"},
		"a quote": {"Student,ID\n\"a,1\n", ":2: "},
	} {
		file := filepath.Join(dir, "r.csv")
		if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRoster(file); err == nil || !strings.HasPrefix(err.Error(), file+tt.want) {
			t.Errorf("%s: error %v, want %s%s", name, err, file, tt.want)
		}
	}
	if _, err := ReadRoster(dir); err == nil {
		t.Error("a folder is a roster")
	}
}

// FuzzRoster checks that no text breaks the reader, and that what it reads is written
// without formulas.
func FuzzRoster(f *testing.F) {
	f.Add([]byte(canvasExport))
	f.Add([]byte(moodleExport))
	f.Add([]byte("Student\tID\n=1\t2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err != nil {
			return
		}
		b := Book{Lab: "fork-new", Roster: r}
		for _, p := range r.People {
			b.Grades = append(b.Grades, Grade{p.display(), 1, 1, true})
		}
		for _, format := range []string{Canvas, Moodle} {
			lines, err := csv.NewReader(strings.NewReader(written(t, b, format))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				for _, c := range line {
					if c != noGrade && c != "" && strings.ContainsRune("=+-@", rune(c[0])) {
						t.Errorf("%s: cell %q", format, c)
					}
				}
			}
		}
	})
}
