package class

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Student is one submission of a class.
type Student struct {
	Name string // of the folder or archive, without its extension
	Path string
	Link bool // Path is a symbolic link, which is not followed
	// Unclear says why it is not known what was handed in, "" when it is: then this
	// student is not graded, and the others are.
	Unclear string
}

// archives are the extensions of archives that are submissions, as folders are.
var archives = []string{".tar.gz", ".tgz", ".tar", ".zip"}

// ErrNoSubmissions is returned for a folder without submissions.
var ErrNoSubmissions = errors.New("no submission: a submission is a folder, or a .zip, .tar, .tar.gz or .tgz, named after its student")

// List returns the submissions in a folder, sorted by name: its folders and archives.
// skipped names everything else, except for hidden files, and says what it is.
func List(dir string) (students []Student, skipped []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the submissions: %w", err)
	}
	byName := map[string]int{}
	for _, e := range entries {
		name := e.Name()
		student, ok := studentOf(e)
		switch {
		case name == "__MACOSX" || strings.HasPrefix(name, ".") && !ok:
			continue
		case strings.HasPrefix(name, "."):
			skipped = append(skipped, name+" is hidden: its name begins with a dot")
			continue
		case !ok:
			skipped = append(skipped, name+" is neither a folder nor an archive")
			continue
		}
		if i, twice := byName[student]; twice {
			students[i].Unclear = fmt.Sprintf("%s and %s both belong to %s: keep one of them", filepath.Base(students[i].Path), name, student)
			continue
		}
		s := Student{Name: student, Path: filepath.Join(dir, name), Link: e.Type()&fs.ModeSymlink != 0}
		if !e.IsDir() && !e.Type().IsRegular() && !s.Link {
			s.Unclear = name + " is neither a folder nor a regular file"
		}
		byName[student] = len(students)
		students = append(students, s)
	}
	if len(students) == 0 {
		return nil, skipped, fmt.Errorf("%s: %w", dir, ErrNoSubmissions)
	}
	slices.SortFunc(students, func(a, b Student) int { return strings.Compare(a.Name, b.Name) })
	return students, skipped, nil
}

// CheckOut refuses a folder for the results that is in the folder of the submissions, where
// its files would be submissions. It need not exist.
func CheckOut(out, submissions string) error {
	folder, err := os.Stat(submissions)
	if err != nil {
		return nil // List reports it
	}
	at, err := filepath.Abs(out)
	for ; err == nil; at = filepath.Dir(at) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			at = real
		}
		if info, err := os.Stat(at); err == nil && os.SameFile(info, folder) {
			return fmt.Errorf("--out %s is in the folder of the submissions, where its files would be submissions: name another folder", out)
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	return nil
}

// studentOf returns the student of an entry, if it is a submission.
func studentOf(e fs.DirEntry) (string, bool) {
	name := e.Name()
	for _, ext := range archives {
		if i := len(name) - len(ext); i >= 0 && strings.EqualFold(name[i:], ext) && !e.IsDir() {
			return name[:i], true
		}
	}
	// Grading reports a link as a mistake in the submission.
	return name, e.IsDir() || e.Type()&fs.ModeSymlink != 0
}

// Folder returns the name of a student's folder in the results: the student's name,
// with bytes escaped as %XX where the name could mean another file, lead out of the
// folder or disturb a terminal.
func Folder(student string) string {
	var b strings.Builder
	for i, r := range student {
		_, n := utf8.DecodeRuneInString(student[i:])
		plain := unicode.IsPrint(r) && r != utf8.RuneError && r != '/' && r != '\\' && r != '%'
		if i == 0 && r == '.' {
			plain = false
		}
		if plain {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(student[i : i+n]) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	lower := strings.ToLower(name)
	if slices.Contains(reserved, lower) || strings.HasPrefix(lower, listPrefix) && strings.HasSuffix(lower, listSuffix) {
		name = fmt.Sprintf("%%%02X%s", name[0], name[1:])
	}
	const longest = 200 // file systems allow 255 bytes, and a work folder's name is longer
	if len(name) > longest {
		name = fmt.Sprintf("%s%%%08x", strings.ToValidUTF8(name[:longest], ""), checksum(student))
	}
	return name
}

// reserved are the names of the class's own files and folders.
var reserved = []string{GradesFile, SummaryFile, TextFile, JUnitFile, PagesFolder}

// Shard is one of several parts of a class that are graded separately. The zero value
// is the whole class.
type Shard struct {
	Index, Of int // Index from 1 to Of
}

// ParseShard parses "I/N".
func ParseShard(s string) (Shard, error) {
	var sh Shard
	n, err := fmt.Sscanf(s, "%d/%d", &sh.Index, &sh.Of)
	if err != nil || n != 2 || fmt.Sprintf("%d/%d", sh.Index, sh.Of) != s {
		return Shard{}, fmt.Errorf("shard %q: want I/N, such as 1/4", s)
	}
	if sh.Of < 1 || sh.Index < 1 || sh.Index > sh.Of {
		return Shard{}, fmt.Errorf("shard %q: I must be from 1 to N (add 1 if you count from 0)", s)
	}
	return sh, nil
}

// Select returns the shard's students, which are every N-th. The shards of a list are
// disjoint and together have all students.
func (s Shard) Select(students []Student) []Student {
	if s.Of == 0 {
		return students
	}
	var out []Student
	for i := s.Index - 1; i < len(students); i += s.Of {
		out = append(out, students[i])
	}
	return out
}

func (s Shard) String() string {
	if s.Of == 0 {
		return "1/1"
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}
