package grade

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/hashicorp/go-multierror"

	"kernellab/harness/expr"
	"kernellab/harness/plan"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
)

// Rules are what a trace of one lab is judged by, for one architecture.
type Rules struct {
	Lab, Title, Arch string
	Summary          string // the question the lab answers

	// Points are the places of the lab. Within a role those with Step come in
	// this order.
	Points []plan.Point
	// Instead are the points of other ways to do what the entry does.
	Instead []string

	Output []string // whole lines the program has to print, in any order
	// Before has, by a line of Output, the line of Output that has to come before it.
	Before   map[string]string
	Patterns []string // regular expressions of whole lines that it has to print
	Exit     int      // its exit status
	Signal   string   // the signal that has to end it instead, "SIGSEGV"
	// Panic is how the message begins with which the kernel has to panic instead. Output
	// and Patterns are then of the line on the console.
	Panic string

	Sequence, Hits Scored
	Checks         []CheckRule
	Marks          Marks

	// Questions are asked when there are Answers, be they none: a submission's.
	Questions []Question
	Answers   Answers
	// Hide are the names of checks and questions that are hidden, whatever they say.
	Hide []string
	// ProgramVisibility is of the checks of the program's output and end.
	ProgramVisibility verdict.Visibility
	// AnswersOnly leaves out all but the questions: no program was asked for.
	AnswersOnly bool

	notes []verdict.Fact // what is left out of a trace's rules, and why
}

// Marks are the points of what a program does apart from the checks with a score of
// their own.
type Marks struct {
	// Call is what the group GroupName scores, in which sequence, hits and the checks
	// without a score count together; 0 is no group, and 1 point for each.
	Call         int
	Output, Exit int // of the program's output and end; 0 is 1
}

// GroupName is the name of the group of checks that follow from making the lab's call.
const GroupName = "the call is made, and what follows from it holds"

// mark returns what a check scores by itself, and the group in which it counts instead.
func (r Rules) mark(own int) (score int, group string) {
	if own == 0 && r.Marks.Call > 0 {
		return 0, GroupName
	}
	return max(own, 1), ""
}

// ProgramScore returns the most that a program scores: all checks but the answers.
func (r Rules) ProgramScore() int {
	r.Answers, r.AnswersOnly = nil, false
	return newResult(r).MaxScore
}

// Scored names a check that has no expression; see Marks for a Score of 0.
type Scored struct {
	Name       string
	Score      int
	Visibility verdict.Visibility
}

// CheckRule passes when Observed equals Expected, or when That is true: all of
// them expressions. With That, Observed is what is shown, "" for nothing.
type CheckRule struct {
	Name               string
	At                 string // the point whose event they see; "" is none
	Observed, Expected string
	That               string
	Format             string // see expr.Formats
	Why                string
	Asked              []string // questions that Why answers, beside those about the same values
	Score              int      // see Marks for 0
	Visibility         verdict.Visibility
}

func (r Rules) sequence() Scored { return r.Sequence.or("the points come in order") }
func (r Rules) hits() Scored     { return r.Hits.or("each point is hit as often as it should") }

func (s Scored) or(name string) Scored {
	if s.Name == "" {
		s.Name = name
	}
	return s
}

// The names of the checks over the program itself.
const (
	checkOutput  = "the program prints what it should"
	checkConsole = "the console shows what it should"
	checkExit    = "the program ends as it should"
)

// output is the name of the check of what is printed.
func (r Rules) output() string {
	if r.Panic != "" {
		return checkConsole
	}
	return checkOutput
}

// Roles returns the tasks of the lab.
func (r Rules) Roles() []string { return plan.Roles(r.Points) }

func (r Rules) point(name string) (plan.Point, bool) {
	i := slices.IndexFunc(r.Points, func(p plan.Point) bool { return p.Name == name })
	if i < 0 {
		return plan.Point{}, false
	}
	return r.Points[i], true
}

func (r Rules) entry() plan.Point {
	i := slices.IndexFunc(r.Points, func(p plan.Point) bool { return p.Entry && p.Absent == "" })
	if i < 0 {
		return plan.Point{}
	}
	return r.Points[i]
}

// path returns the steps of a role, or of all roles for "".
func (r Rules) path(role string) []plan.Point {
	var out []plan.Point
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
	names := map[string]bool{r.output(): true, checkExit: true, GroupName: true, r.sequence().Name: true, r.hits().Name: true}
	if m := r.Marks; m.Call > 0 && r.Sequence.Score > 0 && r.Hits.Score > 0 && !slices.ContainsFunc(r.Checks, func(c CheckRule) bool { return c.Score == 0 }) {
		bad("marks.call", "no check counts in it: sequence, hits and every check have a score of their own")
	}
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
		for _, name := range c.Asked {
			if _, ok := r.Question(name); !ok {
				bad(path+".asked", "no question %q%s", name, nearest.Hint(name, r.questionNames()))
			}
		}
		if c.At != "" {
			if _, ok := r.point(c.At); !ok {
				bad(path+".at", "no point %q%s", c.At, nearest.Hint(c.At, r.names()))
				continue
			}
		}
		if err := expr.UnknownFormat(c.Format); err != nil {
			bad(path+".format", "%w", err)
		}
		exprs := []struct{ key, src string }{{"observed", c.Observed}, {"expected", c.Expected}}
		if c.That != "" {
			exprs = []struct{ key, src string }{{"that", c.That}, {"observed", c.Observed}}
			if c.Expected != "" {
				bad(path+".expected", "a check with \"that\" has no \"expected\": it passes when \"that\" is true")
			}
		}
		for _, e := range exprs {
			if e.src == "" && c.That != "" {
				continue
			}
			if err := r.checkExpr(e.src, c.At); err != nil {
				bad(path+"."+e.key, "%w", err)
			}
		}
	}
	for _, name := range r.Instead {
		if slices.ContainsFunc(r.Points, func(p plan.Point) bool { return p.Name == name || p.Place == name }) {
			bad("instead", "%q is a point of the lab", name)
		}
	}
	for _, line := range slices.Sorted(maps.Keys(r.Before)) {
		if other := r.Before[line]; !slices.Contains(r.Output, line) || !slices.Contains(r.Output, other) || line == other {
			bad("program.output", "%q is to come after %q: both have to be lines of the output", line, other)
		}
	}
	for i, p := range r.Patterns {
		if _, err := regexp.Compile(p); err != nil {
			bad(fmt.Sprintf("program.output.matches[%d]", i), "%w", err)
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
		case expr.Reserved(p.Name):
			bad(path+".point", "%q has a meaning of its own in expressions", p.Name)
		}
		if p.Role == "" {
			bad(path+".task", "a point without a task")
		}
		if p.Entry && p.Absent == "" {
			entries++
			if !p.Step || p.Times().Least < 1 || p.ReturnOf != "" || p.Role == plan.Any {
				bad(path+".entry", "the entry is a step of the path, hit at least once, no return, and of one task")
			}
		}
		for _, after := range p.After {
			if !seen[after] {
				bad(path+".after", "no earlier point %q%s", after, nearest.Hint(after, slices.Sorted(maps.Keys(seen))))
			}
		}
		for _, armed := range p.Armed {
			if !seen[armed] {
				bad(path+".armed", "no earlier point %q%s", armed, nearest.Hint(armed, slices.Sorted(maps.Keys(seen))))
			}
		}
		if p.ReturnOf != "" && !seen[p.ReturnOf] {
			bad(path+".return", "no earlier point %q%s", p.ReturnOf, nearest.Hint(p.ReturnOf, slices.Sorted(maps.Keys(seen))))
		}
		if _, ok := r.point(p.Until); p.Until != "" && !ok {
			bad(path+".until", "no point %q%s", p.Until, nearest.Hint(p.Until, r.names()))
		}
		if h := p.Times(); h.Least < 0 || h.Most >= 0 && h.Most < h.Least {
			bad(path+".hits", "%d to %d is no range", h.Least, h.Most)
		}
		if p.Lifetime != "" {
			if err := r.checkExpr(p.Lifetime, p.Name); err != nil {
				bad(path+".lifetime", "%w", err)
			}
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
