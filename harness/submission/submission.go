// Package submission reads what a student hands in: a folder, or an archive of
// one, with a program (prog.go or prog.c) and answers to a lab's questions
// (answers.yaml). What else lies there is left alone.
//
// The student is not trusted. Nothing is unpacked to disk, links are not
// followed, only regular files of a bounded size are read, and the answers are
// read as a small part of YAML 1.2: no anchors, aliases, tags or deep nesting.
// The package compiles and grades nothing.
//
// Whose fault a failure is shows in how it is told. What the student can mend is
// a [Problem] of the [Submission], and costs the part it is about; an error is
// that of whoever grades: a path that is not there, a disk that can not be read.
package submission

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kernellab/harness/grade"
)

// Need says whether a part has to be handed in. The zero value is that it is not
// asked for.
type Need int

// The needs.
const (
	None Need = iota
	Optional
	Required
)

// The languages of a program.
const (
	Go = "go"
	C  = "c"
)

// Options say what is asked for: what the lab's lab.yaml declares.
type Options struct {
	Program   Need
	Languages []string // nil is all
	Answers   Need
	Questions []grade.Question
}

// Submission is what one student handed in.
type Submission struct {
	Name string // of the folder or archive, without its extension
	// Program is nil when there is none that can be compiled.
	Program *Program
	// Answers are nil when none are asked for, and hold nothing but
	// [grade.Invalid] when the file can not be read.
	Answers grade.Answers
	// Hash is the SHA-256 of what is graded, hexadecimal: the same files have the
	// same, in a folder and in an archive.
	Hash string
	// Problems are the student's mistakes, in the order of the files.
	Problems []*Problem
	// Ignored are some names that mean nothing to a lab.
	Ignored []string
}

// Program is the source of a program.
type Program struct {
	Language string // Go or C
	File     string // "prog.go" or "prog.c"
	Source   []byte
}

// FS returns a folder with the one file.
func (p Program) FS() fs.FS { return oneFile{p.File, p.Source} }

// Part is a part of a submission.
type Part string

// The parts.
const (
	PartAll     Part = "submission"
	PartProgram Part = "program"
	PartAnswers Part = "answers"
)

// Problem is a mistake of the student's: a finding, and no marks for the part
// that it is about.
type Problem struct {
	Part Part
	// Question is the one that the problem costs, or the name in the file that is
	// no question's; "" is the whole part.
	Question string
	File     string // as the student named it, "" for the submission as a whole
	Line     int    // from 1; 0 is none
	Message  string
	Hint     string // what to do about it, "" when the message says so
}

func (p *Problem) Error() string {
	s := p.Message
	if p.Hint != "" {
		s += ": " + p.Hint
	}
	switch {
	case p.File == "":
		return s
	case p.Line == 0:
		return p.File + ": " + s
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, s)
}

// Read reads the submission at path: a folder, a .zip, .tar, .tar.gz or .tgz, or
// one of the files by itself. The error is never the student's fault.
func Read(ctx context.Context, path string, o Options) (*Submission, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read submission: %w", err)
	}
	abs, err := filepath.Abs(path) // "." has no name
	if err != nil {
		return nil, fmt.Errorf("read submission: %w", err)
	}
	s := &Submission{Name: stem(filepath.Base(abs), info.IsDir())}
	found, err := collect(ctx, path, info)
	var problem *Problem
	if errors.As(err, &problem) {
		return Refused(s.Name, problem, o), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read submission %s: %w", path, err)
	}
	s.Problems, s.Ignored, s.Hash = found.problems, found.ignored, found.hash()
	s.program(found, o)
	s.answers(found, o)
	return s, nil
}

// Refused is a submission of which nothing is read because of a problem.
func Refused(name string, p *Problem, o Options) *Submission {
	f := &files{problems: []*Problem{p}}
	s := &Submission{Name: name, Problems: f.problems, Hash: f.hash()}
	s.answers(f, o)
	return s
}

// Problem returns the first problem that costs the whole of a part, nil for none.
func (s *Submission) Problem(part Part) *Problem {
	for _, p := range s.Problems {
		if p.Question == "" && (p.Part == part || p.Part == PartAll) {
			return p
		}
	}
	return nil
}

// stem is a name without the extension of an archive.
func stem(base string, dir bool) string {
	if dir {
		return base
	}
	for _, ext := range archives {
		if cut, ok := strings.CutSuffix(strings.ToLower(base), ext); ok && cut != "" {
			return base[:len(cut)]
		}
	}
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// hash is over the names and contents of what is graded, and over what makes a
// part unusable, so that a submission that changed is another one.
func (f *files) hash() string {
	h := sha256.New()
	for _, name := range names {
		if data, ok := f.data[name]; ok {
			fmt.Fprintf(h, "%s %d\n", name, len(data))
			h.Write(data)
		}
	}
	for _, p := range f.problems {
		fmt.Fprintln(h, p.Error())
	}
	return hex.EncodeToString(h.Sum(nil))
}
