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

	"github.com/hashicorp/go-multierror"

	"kernellab/harness/grade"
	"kernellab/harness/probe"
	"kernellab/nearest"
)

//go:embed */lab.yaml */README.md */*.go */starter
var course embed.FS

// maxFile bounds a lab's file, in bytes.
const maxFile = 256 << 10

// Lab is one lesson.
type Lab struct {
	Name, Title, Summary string
	Order                int
	Handout              string // README.md

	Output []string // what the program prints, line by line
	Exit   int      // its exit status
	// Writable are files below /sys that the program may write to, though only
	// root could: switches of the kernel that the lab is about.
	Writable []string

	Points         []Point
	Sequence, Hits grade.Scored
	Checks         []Check

	Submission Submission
	Questions  []Question

	program fs.FS
}

// Point is a place where the guest is stopped. The fields that are ByArch are
// expressions that may differ between architectures.
type Point struct {
	Name, Role  string
	Entry, Step bool
	Hits        int
	When, Child ByArch
	Aside       string // what a stop is for which When is false
	Armed       string
	After       string
	Means       string
	Reads, Show []Named
}

// Named is an expression with a name; lists of them keep the file's order.
type Named struct {
	Name string
	Expr ByArch
}

// Check passes when Observed equals Expected.
type Check struct {
	Name, At           string
	Observed, Expected ByArch
	Format, Why        string
	Score              int
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

// All returns the labs of the course in its order.
func All() ([]Lab, error) { return Load(course) }

// Get returns one lab of the course, or a *NotFoundError.
func Get(name string) (Lab, error) {
	all, err := All()
	if err != nil {
		return Lab{}, err
	}
	return Find(all, name)
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
func Load(fsys fs.FS) ([]Lab, error) {
	files, err := fs.Glob(fsys, "*/lab.yaml")
	if err != nil {
		return nil, fmt.Errorf("load labs: %w", err)
	}
	var labs []Lab
	var errs *multierror.Error
	for _, f := range files {
		lab, err := load(fsys, path.Dir(f))
		if err != nil {
			errs = multierror.Append(errs, err)
			continue
		}
		labs = append(labs, lab)
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

func load(fsys fs.FS, dir string) (Lab, error) {
	file := path.Join("labs", dir, "lab.yaml")
	data, err := read(fsys, path.Join(dir, "lab.yaml"))
	if err != nil {
		return Lab{}, &Error{File: file, Err: err}
	}
	lab, err := parse(file, data)
	if err != nil {
		return Lab{}, err
	}
	if lab.Name != dir {
		return Lab{}, &Error{File: file, Err: fmt.Errorf("name %q in folder %q: they have to be the same", lab.Name, dir)}
	}
	readme, err := read(fsys, path.Join(dir, "README.md"))
	if err != nil {
		return Lab{}, &Error{File: path.Join("labs", dir, "README.md"), Err: fmt.Errorf("every lab has a handout: %w", err)}
	}
	lab.Handout = string(readme)
	if lab.program, err = program(fsys, dir); err != nil {
		return Lab{}, &Error{File: path.Join("labs", dir), Err: err}
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

// Plan returns what the probe drives on an architecture.
func (l Lab) Plan(arch string) probe.Plan {
	plan := probe.Plan{Writable: slices.Clone(l.Writable)}
	for _, p := range l.Points {
		point := probe.Point{
			Name: p.Name, Role: p.Role, Entry: p.Entry, Step: p.Step, Armed: p.Armed,
			When: p.When.For(arch), Aside: p.Aside, Child: p.Child.For(arch),
		}
		for _, r := range p.Reads {
			point.Reads = append(point.Reads, probe.Read{Name: r.Name, Expr: r.Expr.For(arch)})
		}
		plan.Points = append(plan.Points, point)
	}
	return plan
}

// Rules returns what a trace of an architecture is judged by.
func (l Lab) Rules(arch string) grade.Rules {
	r := grade.Rules{
		Lab: l.Name, Title: l.Title, Summary: l.Summary, Arch: arch,
		Output: slices.Clone(l.Output), Exit: l.Exit, Sequence: l.Sequence, Hits: l.Hits,
	}
	for _, p := range l.Points {
		point := grade.Point{
			Name: p.Name, Role: p.Role, Entry: p.Entry, Step: p.Step, Hits: p.Hits, After: p.After, Means: p.Means,
		}
		for _, s := range p.Show {
			point.Show = append(point.Show, grade.Show{Name: s.Name, Expr: s.Expr.For(arch)})
		}
		for _, read := range p.Reads {
			point.Reads = append(point.Reads, read.Name)
		}
		r.Points = append(r.Points, point)
	}
	for _, c := range l.Checks {
		r.Checks = append(r.Checks, grade.CheckRule{
			Name: c.Name, At: c.At, Observed: c.Observed.For(arch), Expected: c.Expected.For(arch),
			Format: c.Format, Why: c.Why, Score: c.Score,
		})
	}
	for _, q := range l.Questions {
		r.Questions = append(r.Questions, q.rule(arch))
	}
	return r
}
