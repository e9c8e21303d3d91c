package submission

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// program selects the program from the files.
func (s *Submission) program(f *files, o Options) {
	if o.Program == None {
		return
	}
	languages := o.Languages
	if len(languages) == 0 {
		languages = []string{Go, C}
	}
	var wanted, present []string
	for _, l := range languages {
		wanted = append(wanted, ProgramFile(l))
	}
	for _, name := range []string{"prog.go", "prog.c", ScriptFile} {
		if _, ok := f.data[name]; ok {
			present = append(present, name)
		}
	}
	bad := func(file, hint, message string, args ...any) {
		s.Problems = append(s.Problems, &Problem{Part: PartProgram, File: file, Message: fmt.Sprintf(message, args...), Hint: hint})
	}
	switch {
	case s.Problem(PartProgram) != nil:
	case len(present) > 1:
		bad("", "keep one of them", "there are both %s, but only one program is graded", strings.Join(present, " and "))
	case len(present) == 1 && !slices.Contains(wanted, present[0]):
		bad(present[0], "", "this lab accepts %s", strings.Join(wanted, " or "))
	case len(present) == 0 && o.Program == Required:
		bad("", f.similar(wanted), "no program: this lab requires %s", strings.Join(wanted, " or "))
	case len(present) == 0:
	default:
		name := present[0]
		source := bytes.TrimPrefix(f.data[name], []byte("\ufeff"))
		switch {
		case len(bytes.TrimSpace(source)) == 0:
			bad(name, "", "the file is empty")
		case !utf8.Valid(source) || bytes.IndexByte(source, 0) >= 0:
			bad(name, "save it as UTF-8", "not a text file")
		default:
			s.Program = &Program{Language: Script, File: name, Source: source}
			if language, ok := strings.CutPrefix(name, "prog."); ok {
				s.Program.Language = language
			}
		}
	}
}

// ProgramFile returns the name of the file with a program in a language.
func ProgramFile(language string) string {
	if language == Script {
		return ScriptFile
	}
	return "prog." + language
}

// oneFile is a folder with one file in it.
type oneFile struct {
	name string
	data []byte
}

func (o oneFile) Open(name string) (fs.File, error) {
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case name == ".":
		return &folder{oneFile: o}, nil
	case name == o.name:
		return &file{oneFile: o, Reader: bytes.NewReader(o.data)}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type file struct {
	oneFile
	*bytes.Reader
}

func (f *file) Stat() (fs.FileInfo, error) { return f, nil }
func (f *file) Close() error               { return nil }
func (f *file) Name() string               { return f.name }
func (f *file) Size() int64                { return int64(len(f.data)) }
func (f *file) Mode() fs.FileMode          { return 0o444 }
func (f *file) Type() fs.FileMode          { return 0 }
func (f *file) ModTime() time.Time         { return time.Time{} }
func (f *file) IsDir() bool                { return false }
func (f *file) Sys() any                   { return nil }
func (f *file) Info() (fs.FileInfo, error) { return f, nil }

type folder struct {
	oneFile
	read bool
}

func (d *folder) Stat() (fs.FileInfo, error) { return d, nil }
func (d *folder) Close() error               { return nil }
func (d *folder) Name() string               { return "." }
func (d *folder) Size() int64                { return 0 }
func (d *folder) Mode() fs.FileMode          { return fs.ModeDir | 0o555 }
func (d *folder) ModTime() time.Time         { return time.Time{} }
func (d *folder) IsDir() bool                { return true }
func (d *folder) Sys() any                   { return nil }

func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: fs.ErrInvalid}
}

func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.read {
		if n > 0 {
			return nil, io.EOF
		}
		return nil, nil
	}
	d.read = true
	return []fs.DirEntry{&file{oneFile: d.oneFile}}, nil
}
