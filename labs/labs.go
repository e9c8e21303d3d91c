// Package labs is the course: one folder a lab, with lab.yaml that says where the
// guest is stopped and what is graded, README.md that is the handout, and the
// program that runs in the guest. The package loads and validates the folders and
// turns a lab into what the probe drives (probe.Plan) and what the grader judges
// by (grade.Rules).
//
// It runs nothing. The format is lab.schema.json's; every key that is not in it is
// refused, and an error about a file begins "labs/NAME/lab.yaml:LINE:".
package labs

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-multierror"

	"kernellab/harness/grade"
	"kernellab/harness/plan"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

//go:embed */lab.yaml */README.md */*.go */*.sh */*.s */c */starter */testdata/wrong
var course embed.FS

// WrongFolder is the folder of a lab with programs that do it wrong.
const WrongFolder = "testdata/wrong"

// maxFile bounds a lab's file, in bytes.
const maxFile = 256 << 10

// Lab is one lesson.
type Lab struct {
	Name, Title, Summary string
	Order                int
	// Minutes is how long the lab takes a student, handout and questions included; 0
	// says nothing about it. BuildsOn are the labs of the course to do before.
	Minutes  int
	BuildsOn []string
	Handout  string // README.md

	Output   []string          // what the program prints, line by line
	Before   map[string]string // line of Output → the line that has to come before it
	Patterns []string          // regular expressions of lines it prints
	Exit     int               // its exit status
	Signal   string            // the signal that ends it instead
	Panic    string            // how the message begins with which the kernel panics instead
	Init     bool              // it runs as the guest's first process
	Args     []string          // its arguments, without its name
	// Open are files below /proc or /sys that the program inherits, opened by
	// root for reading and writing, as descriptors 3, 4 and so on.
	Open []string

	// ScriptFile is the file, in the lab's folder, with the script for ftrace that runs
	// the program, and Script its text in this task; "" is none.
	ScriptFile, Script string
	script             string // with the variants to fill in

	// Instead are other ways to do what the entry does, which the lab does not accept.
	Instead        []Instead
	Sequence, Hits grade.Scored
	Checks         []Check
	Marks          grade.Marks

	Submission Submission
	Questions  []Question
	WhatIfs    []WhatIf

	// Variants are what differs between the tasks of students, Task the task in words
	// and Chosen the values of this one, by the variant's name; nil for the lab's own
	// task. With gives the lab another task.
	Variants []Variant
	Task     string
	Chosen   map[string]string

	// ProgramVisibility is of the checks of the program's output and end.
	ProgramVisibility verdict.Visibility

	tasks   map[string][]plan.Task  // by architecture; the same roles everywhere
	points  map[string][]plan.Point // by architecture; the same names everywhere
	program fs.FS
	file    string // lab.yaml, as errors name it
	text    []byte // its content
	outside bool
}

// Tasks returns the tasks of the lab, as they are known on an architecture.
func (l Lab) Tasks(arch string) []plan.Task { return l.tasks[arch] }

// Points returns the points of the lab, as an architecture has them.
func (l Lab) Points(arch string) []plan.Point { return l.points[arch] }

// Instead is a function of the kernel that does in another way what the lab's entry does.
type Instead struct{ Place, Means string }

// Named is an expression with a name; lists of them keep the file's order.
type Named struct {
	Name string
	Expr ByArch
	Line int // in lab.yaml
}

// Check passes when Observed equals Expected.
type Check struct {
	Name, At           string
	Observed, Expected ByArch
	That               ByArch // instead of Expected: true is a pass
	Format, Why        string
	Asked              []string // questions that Why answers
	Score              int
	Visibility         verdict.Visibility
}

// ByArch is a text by architecture. The key "" is every architecture; nil is no
// text at all.
type ByArch map[string]string

// For returns the text for an architecture, "" for none.
func (b ByArch) For(arch string) string {
	if s, ok := b[arch]; ok {
		return s
	}
	return b[""]
}

// Error is what is wrong in a file of a lab.
type Error struct {
	File string // "labs/fork-new/lab.yaml"
	Line int    // from 1; 0 is the file as a whole
	Err  error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// None reports whether there is no lab where one was named.
func (e *Error) None() bool {
	return e.Line == 0 && path.Base(e.File) == "lab.yaml" && errors.Is(e.Err, fs.ErrNotExist)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// NotFoundError says that there is no lab of that name.
type NotFoundError struct {
	Name    string
	Nearest string   // "" when no name is near
	Labs    []string // all there are
}

func (e *NotFoundError) Error() string {
	if e.Nearest != "" {
		return fmt.Sprintf("no lab %q: did you mean %q?", e.Name, e.Nearest)
	}
	return fmt.Sprintf("no lab %q: there are %s", e.Name, strings.Join(e.Labs, ", "))
}

// All returns the labs of the course in its order. What this program carries was
// validated by its tests, see Validate: compiling every expression of every lab
// takes longer than listing them may.
func All() ([]Lab, error) { return loadAll(course, true) }

// Validate reports all that is wrong in the labs of the course.
func Validate() error {
	_, err := Load(course)
	return err
}

// Get returns one lab of the course, or a *NotFoundError. What is wrong with the
// others is no concern of its.
func Get(wanted string) (Lab, error) {
	if nameOfLab.MatchString(wanted) {
		if _, err := fs.Stat(course, path.Join(wanted, "lab.yaml")); err == nil {
			return load(course, wanted, path.Join("labs", wanted), true)
		}
	}
	all, err := All()
	if err != nil {
		return Lab{}, err
	}
	return Find(all, wanted)
}

// Find returns the lab of that name, or a *NotFoundError.
func Find(all []Lab, name string) (Lab, error) {
	var names []string
	for _, l := range all {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	missing := &NotFoundError{Name: name, Labs: names}
	if near := nearest.Words(name, names); len(near) > 0 {
		missing.Nearest = near[0]
	}
	return Lab{}, missing
}

// Load reads every folder of fsys that has a lab.yaml and returns the labs in the
// order of the course. It reports all that is wrong in all of them, as a
// *multierror.Error of *Error.
func Load(fsys fs.FS) ([]Lab, error) { return loadAll(fsys, false) }

func loadAll(fsys fs.FS, known bool) ([]Lab, error) {
	files, err := fs.Glob(fsys, "*/lab.yaml")
	if err != nil {
		return nil, fmt.Errorf("load labs: %w", err)
	}
	all, wrong := make([]Lab, len(files)), make([]error, len(files))
	var each sync.WaitGroup
	for i, f := range files {
		each.Go(func() { all[i], wrong[i] = load(fsys, path.Dir(f), path.Join("labs", path.Dir(f)), known) })
	}
	each.Wait()
	var labs []Lab
	var errs *multierror.Error
	for i, err := range wrong {
		if err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		labs = append(labs, all[i])
	}
	if err := errs.ErrorOrNil(); err != nil {
		errs.ErrorFormat = listErrors
		return nil, err
	}
	slices.SortFunc(labs, func(a, b Lab) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	return labs, nil
}

func listErrors(errs []error) string {
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

// load reads the lab in a folder of fsys; shown is that folder's name in errors.
// One that is known to be good is not validated.
func load(fsys fs.FS, dir, shown string, known bool) (Lab, error) {
	file := path.Join(shown, "lab.yaml")
	data, err := read(fsys, path.Join(dir, "lab.yaml"))
	if err != nil {
		return Lab{}, &Error{File: file, Err: err}
	}
	lab, err := parse(file, data, known, nil)
	if err != nil {
		return Lab{}, err
	}
	if lab.Name != dir {
		return Lab{}, &Error{File: file, Err: fmt.Errorf("name %q in folder %q: they have to be the same", lab.Name, dir)}
	}
	readme, err := read(fsys, path.Join(dir, "README.md"))
	if err != nil {
		return Lab{}, &Error{File: path.Join(shown, "README.md"), Err: fmt.Errorf("every lab has a handout: %w", err)}
	}
	lab.Handout = string(readme)
	if lab.program, err = program(fsys, dir); err != nil {
		return Lab{}, &Error{File: shown, Err: err}
	}
	if lab.ScriptFile != "" {
		script, err := read(fsys, path.Join(dir, lab.ScriptFile))
		if err != nil {
			return Lab{}, &Error{File: path.Join(shown, lab.ScriptFile), Err: err}
		}
		lab.script = string(script)
		if lab.Script, err = lab.fill(lab.script); err != nil {
			return Lab{}, &Error{File: path.Join(shown, lab.ScriptFile), Err: err}
		}
	}
	return lab, nil
}

func read(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes, over the limit of %d", info.Size(), maxFile)
	}
	return fs.ReadFile(fsys, name)
}

func program(fsys fs.FS, dir string) (fs.FS, error) {
	sources, err := fs.Glob(fsys, path.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, errors.New("no Go file: every lab has a program that runs in the guest")
	}
	return fs.Sub(fsys, dir)
}

// Program returns the folder with the source of the lab's program: the Go files
// at its root.
func (l Lab) Program() fs.FS { return l.program }
