package grade

import (
	"fmt"
	"slices"

	"github.com/hashicorp/go-multierror"
)

// Rules are what a trace of one lab is judged by, for one architecture.
type Rules struct {
	Lab, Title, Arch string
	Summary          string // the question the lab answers

	// Points are the places of the lab. Within a role those with Step come in
	// this order.
	Points []Point

	Output []string // whole lines the program has to print, in any order
	Exit   int      // its exit status

	Sequence, Hits Scored
	Checks         []CheckRule

	// Questions are asked when there are Answers, be they none: a submission's.
	Questions []Question
	Answers   Answers
	// AnswersOnly leaves out all but the questions: no program was asked for.
	AnswersOnly bool
}

// Point is what is expected of one place.
type Point struct {
	Name  string
	Role  string // "parent" or "child"
	Entry bool   // begins a round: the call the lab is about
	Step  bool   // on the path; false is evidence only
	Hits  int    // how often it has to be hit in a run; 0 is once
	After string // a point of any role that comes before it
	Means string // told to a person
	Show  []Show // values worth seeing
	Reads []string
}

// Show is a value worth seeing at a point.
type Show struct{ Name, Expr string }

// Scored names a check that has no expression; a Score of 0 is 1.
type Scored struct {
	Name  string
	Score int
}

// CheckRule passes when Observed equals Expected, both expressions.
type CheckRule struct {
	Name               string
	At                 string // the point whose event they see; "" is none
	Observed, Expected string
	Format             string // see Formats
	Why                string
	Score              int // 0 is 1
}

func (c CheckRule) score() int { return max(c.Score, 1) }

func (r Rules) sequence() Scored { return r.Sequence.or("the points come in order") }
func (r Rules) hits() Scored     { return r.Hits.or("each point is hit as often as it should") }

func (s Scored) or(name string) Scored {
	if s.Name == "" {
		s.Name = name
	}
	s.Score = max(s.Score, 1)
	return s
}

// The names of the checks over the program itself.
const (
	checkOutput = "the program prints what it should"
	checkExit   = "the program ends as it should"
)

// Roles returns the roles a point may have.
func Roles() []string { return []string{"parent", "child"} }

// The formats of a check's values.
const (
	FormatAddress = "address" // hexadecimal, and the symbol if it is a point's
	FormatBytes   = "bytes"   // a size
)

// Formats returns the formats; "" is a plain number or text.
func Formats() []string { return []string{FormatAddress, FormatBytes} }

func (p Point) hits() int { return max(p.Hits, 1) }

func (r Rules) point(name string) (Point, bool) {
	i := slices.IndexFunc(r.Points, func(p Point) bool { return p.Name == name })
	if i < 0 {
		return Point{}, false
	}
	return r.Points[i], true
}

func (r Rules) entry() Point {
	i := slices.IndexFunc(r.Points, func(p Point) bool { return p.Entry })
	if i < 0 {
		return Point{}
	}
	return r.Points[i]
}

// path returns the steps of a role, or of all roles for "".
func (r Rules) path(role string) []Point {
	var out []Point
	for _, p := range r.Points {
		if p.Step && (role == "" || p.Role == role) {
			out = append(out, p)
		}
	}
	return out
}

// RuleError says what is wrong in the rules, and where a reader of the lab's
// file finds it: a path such as "checks[2].observed" or "points[0].show[1]".
type RuleError struct {
	Path string
	Err  error
}

func (e *RuleError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *RuleError) Unwrap() error { return e.Err }

// Validate reports all that can be known to be wrong before there is a trace,
// as a *multierror.Error of *RuleError.
func (r Rules) Validate() error {
	var errs *multierror.Error
	bad := func(path, format string, args ...any) {
		errs = multierror.Append(errs, &RuleError{path, fmt.Errorf(format, args...)})
	}
	r.validatePoints(bad)
	names := map[string]bool{checkOutput: true, checkExit: true, r.sequence().Name: true, r.hits().Name: true}
	if r.sequence().Name == r.hits().Name {
		bad("hits.name", "the same name as sequence's")
	}
	for i, c := range r.Checks {
		path := fmt.Sprintf("checks[%d]", i)
		switch {
		case c.Name == "":
			bad(path, "a check without a name")
		case names[c.Name]:
			bad(path+".name", "%q is the name of another check", c.Name)
		}
		names[c.Name] = true
		if c.At != "" {
			if _, ok := r.point(c.At); !ok {
				bad(path+".at", "no point %q%s", c.At, didYouMean(c.At, r.names()))
				continue
			}
		}
		if c.Format != "" && !slices.Contains(Formats(), c.Format) {
			bad(path+".format", "unknown format %q%s", c.Format, didYouMean(c.Format, Formats()))
		}
		for _, e := range []struct{ key, src string }{{"observed", c.Observed}, {"expected", c.Expected}} {
			if err := r.checkExpr(e.src, c.At); err != nil {
				bad(path+"."+e.key, "%w", err)
			}
		}
	}
	r.validateQuestions(bad)
	return errs.ErrorOrNil()
}

func (r Rules) validatePoints(bad func(path, format string, args ...any)) {
	entries, seen := 0, map[string]bool{}
	for i, p := range r.Points {
		path := fmt.Sprintf("points[%d]", i)
		switch {
		case p.Name == "":
			bad(path, "a point without a name")
		case seen[p.Name]:
			bad(path+".point", "%q is listed twice", p.Name)
		case reserved(p.Name):
			bad(path+".point", "%q has a meaning of its own in expressions", p.Name)
		}
		if !slices.Contains(Roles(), p.Role) {
			bad(path+".task", "unknown role %q%s", p.Role, didYouMean(p.Role, Roles()))
		}
		if p.Entry {
			entries++
			if !p.Step {
				bad(path+".entry", "the entry is a step of the path")
			}
		}
		if p.After != "" && !seen[p.After] {
			bad(path+".after", "no earlier point %q%s", p.After, didYouMean(p.After, keys(seen)))
		}
		for j, s := range p.Show {
			if err := r.checkExpr(s.Expr, p.Name); err != nil {
				bad(fmt.Sprintf("%s.show[%d]", path, j), "%w", err)
			}
		}
		seen[p.Name] = true
	}
	if entries != 1 {
		bad("points", "%d points are the entry, and exactly one has to be", entries)
	}
}

func (r Rules) names() []string {
	var out []string
	for _, p := range r.Points {
		out = append(out, p.Name)
	}
	return out
}
