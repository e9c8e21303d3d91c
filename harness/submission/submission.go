// Package submission reads a student's submission: a folder, or an archive of
// one, with a program (prog.go, prog.c or trace.sh) and answers to a lab's questions
// (answers.yaml), and with a record of whose task it is (student.yaml). It ignores other
// files.
//
// The student is not trusted. The package unpacks nothing to disk, follows no links and
// reads only regular files of limited size. The answers may use only a small part of
// YAML 1.2: no anchors, aliases, tags or deep nesting. The package compiles and grades
// nothing.
//
// A mistake that the student can correct is a [Problem] of the [Submission] and costs
// the marks of its part. An error is not the student's fault: a path does not exist, or
// a disk cannot be read.
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
	"kernellab/harness/variant"
)

// Need says whether a part has to be handed in.
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
	// Script is a script for ftrace, which runs the lab's own program: see
	// harness/ftrace. No lab takes it that does not name it.
	Script = "sh"
)

// Options says what a submission must have, as the lab's lab.yaml declares.
type Options struct {
	Program   Need
	Languages []string // nil means all
	Answers   Need
	Questions []grade.Question
}

// Submission is the submission of one student.
type Submission struct {
	Name string // of the folder or archive, without its extension
	// Program is nil if there is no program that can be compiled.
	Program *Program
	// Answers are nil if the lab asks for none. If the file cannot be read they are
	// all [grade.Invalid].
	Answers grade.Answers
	// Recorded is whose task it is by its own account, nil if it has none.
	Recorded *variant.Record
	// Hash is the SHA-256 of the graded files, hexadecimal. It is the same for a
	// folder and an archive with the same files.
	Hash string
	// Problems are the student's mistakes, in the order of the files.
	Problems []*Problem
	// Ignored has the names of up to 20 other files.
	Ignored []string
}

// Program is the source of a program.
type Program struct {
	Language string // Go, C or Script
	File     string // "prog.go", "prog.c" or ScriptFile
	Source   []byte
}

// FS returns a file system with the program as its only file.
func (p Program) FS() fs.FS { return oneFile{p.File, p.Source} }

// Part is a part of a submission.
type Part string

// The parts.
const (
	PartAll     Part = "submission"
	PartProgram Part = "program"
	PartAnswers Part = "answers"
	PartTask    Part = "task" // the record of it, which costs no marks
)

// Problem is a student's mistake. It becomes a finding, and its part or question gets
// no marks.
type Problem struct {
	Part Part
	// Question is the name of a question, or an unknown name in the file; "" means
	// that the whole part is affected.
	Question string
	File     string // "" for the whole submission
	Line     int    // from 1; 0 for none
	Message  string
	Hint     string // the next step, "" if the message has it
	// Free: it costs nothing, and is only a remark.
	Free bool
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

// Read reads the submission at path: a folder, a .zip, .tar, .tar.gz or .tgz, or a
// single file of a submission. The error is never the student's fault.
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
	s.recorded(found)
	return s, nil
}

// Refused returns a submission that cannot be read because of a problem.
func Refused(name string, p *Problem, o Options) *Submission {
	f := &files{problems: []*Problem{p}}
	s := &Submission{Name: name, Problems: f.problems, Hash: f.hash()}
	s.answers(f, o)
	return s
}

// Problem returns the first problem that affects a whole part, or nil.
func (s *Submission) Problem(part Part) *Problem {
	for _, p := range s.Problems {
		if p.Question == "" && !p.Free && (p.Part == part || p.Part == PartAll) {
			return p
		}
	}
	return nil
}

// stem returns a name without the extension of an archive or file.
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

// hash returns a hash of the graded files' names and contents, and of the problems that
// make a part unusable.
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
