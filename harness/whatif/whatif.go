// Package whatif compares a run of a lab with a run of a variation of it: the points that
// are reached, their order, the values seen there, the program's output and end, and the
// checks. It is pure.
package whatif

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/plan"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// Run is one of the two runs.
type Run struct {
	Trace  *trace.Trace
	Result verdict.Result
	Steps  []verdict.Step // all that count, evidence included: grade.Steps
}

// The kinds of difference.
const (
	KindPoint  = "point"  // one run has more stops at a point, or stops in another task
	KindOrder  = "order"  // two points come in the other order
	KindStack  = "stack"  // other functions lead to a point
	KindValue  = "value"  // a value at a point is another
	KindCheck  = "check"  // a check has another verdict
	KindOutput = "output" // the program prints a line in one run only
	KindEnd    = "end"    // the program ends in another way
)

// Difference is one thing that is different in the variation.
type Difference struct {
	Kind  string `json:"kind"`
	Point string `json:"point,omitempty"` // where, of a point and a value
	What  string `json:"what,omitempty"`  // the value or the check
	// Plain and Varied are what was seen in the two runs, "" for nothing.
	Plain  string `json:"plain"`
	Varied string `json:"varied"`
	// Sentence says it to a person; "" for a value.
	Sentence string `json:"sentence,omitempty"`
}

// Comparison is what is different in a variation.
type Comparison struct {
	Lab    string `json:"lab"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	Name   string `json:"what_if"`       // of the variation
	Means  string `json:"means"`         // what was varied, a sentence
	Why    string `json:"why,omitempty"` // why the runs differ, as the lab says

	Plain       verdict.Verdict `json:"plain_verdict"`
	Varied      verdict.Verdict `json:"varied_verdict"`
	Differences []Difference    `json:"differences"`
	// Same is the number of values that are the same in both runs.
	Same int `json:"same_values"`
	// Placed is the number of values that differ only in addresses and pids.
	Placed int `json:"placed_values"`
}

// Compare compares the two runs. Both have to be graded.
func Compare(plain, varied Run) Comparison {
	plain.Result, varied.Result = words.Result(plain.Result), words.Result(varied.Result)
	d := &differ{p: newSide(plain), v: newSide(varied)}
	d.Lab, d.Arch, d.Kernel = plain.Result.Lab, plain.Result.Arch, plain.Result.Kernel
	d.Plain, d.Varied = plain.Result.Verdict, varied.Result.Verdict
	d.Differences = []Difference{}
	d.points()
	d.order()
	d.stacks()
	d.output()
	d.end()
	d.checks()
	d.values()
	return d.Comparison
}

// side is one run, and what is looked up in it.
type side struct {
	Run
	points []string                  // in the order of the first stop at each
	steps  map[string][]verdict.Step // by point
	roles  map[string]string         // by pid
	exit   trace.Exit
}

func newSide(r Run) *side {
	s := &side{Run: r, steps: map[string][]verdict.Step{}, roles: map[string]string{}}
	steps := slices.Clone(r.Result.Steps)
	for _, e := range r.Steps { // evidence, which is no step of the result
		if !slices.ContainsFunc(steps, func(step verdict.Step) bool { return step.Seq == e.Seq }) {
			steps = append(steps, e)
		}
	}
	slices.SortFunc(steps, func(a, b verdict.Step) int { return a.Seq - b.Seq })
	for _, step := range steps {
		if len(s.steps[step.Point]) == 0 {
			s.points = append(s.points, step.Point)
		}
		s.steps[step.Point] = append(s.steps[step.Point], step)
		if step.Role != "" && step.Role != plan.Any {
			s.roles[strconv.Itoa(step.PID)] = step.Role
		}
	}
	for _, e := range r.Trace.Events {
		if e.Exit != nil {
			s.exit = *e.Exit
		}
	}
	return s
}

// differ collects the differences between a plain and a varied run.
type differ struct {
	Comparison
	p, v *side
}

func (d *differ) add(x Difference, sentence string, args ...any) {
	if sentence != "" {
		x.Sentence = fmt.Sprintf(sentence, args...)
	}
	d.Differences = append(d.Differences, x)
}

// points compares which points are reached, and how often.
func (d *differ) points() {
	all := slices.Clone(d.p.points)
	for _, name := range d.v.points {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, name := range all {
		was, is := d.p.steps[name], d.v.steps[name]
		x := Difference{Kind: KindPoint, Point: name, Plain: stops(was), Varied: stops(is)}
		switch {
		case len(was) == len(is):
		case len(is) == 0:
			others := d.v.others(name)
			if others != "" {
				x.Varied = "in " + others
				d.add(x, "The run stops at %s in %s, not in %s.", name, others, task(was[0]))
				break
			}
			d.add(x, "The run does not stop at %s.", name)
		case len(was) == 0:
			d.add(x, "The run stops at %s, in %s%s; the plain run does not.", name, task(is[0]), seen(is[0]))
		default:
			d.add(x, "The run stops at %s %s; the plain run does %s.", name, times(len(is)), times(len(was)))
		}
	}
}

// others names the tasks that came to a point where the lab waits for another task.
func (s *side) others(point string) string {
	var all []string
	for _, e := range s.Trace.Events {
		if e.Point != point || !e.ByOther || e.Task == nil {
			continue
		}
		name := fmt.Sprintf("%d[%s]", e.Task.PID, e.Task.Comm)
		if role := s.roles[strconv.Itoa(e.Task.PID)]; role != "" {
			name = "the task " + role
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return strings.Join(all, " and ")
}

// task names the task of a step: its role, or else its name.
func task(s verdict.Step) string {
	if s.Role != "" && s.Role != plan.Any {
		return "the task " + s.Role
	}
	return "a task named " + s.Comm
}

// seen tells the values of a step that has nothing to be compared with.
func seen(s verdict.Step) string {
	var all []string
	for _, v := range s.Values {
		if v.Why == nil {
			all = append(all, v.Name+" = "+v.Text)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

func stops(steps []verdict.Step) string {
	switch len(steps) {
	case 0:
		return "no stop"
	case 1:
		return "1 stop"
	}
	return fmt.Sprintf("%d stops", len(steps))
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// order compares the order in which the points are first reached, of those that are
// reached in both runs.
func (d *differ) order() {
	in := func(list []string, other map[string][]verdict.Step) (out []string) {
		for _, name := range list {
			if len(other[name]) > 0 {
				out = append(out, name)
			}
		}
		return out
	}
	was, is := in(d.p.points, d.v.steps), in(d.v.points, d.p.steps)
	for len(is) > 0 {
		first := is[0]
		at := slices.Index(was, first)
		if at > 0 {
			d.add(Difference{Kind: KindOrder, Plain: was[0] + " before " + first, Varied: first + " before " + was[0]},
				"%s comes before %s; in the plain run it comes after it.", first, was[0])
		}
		is, was = is[1:], slices.Delete(was, at, at+1)
	}
}

// stacks compares the functions that led to the first stop at each point. A point whose
// stack begins as that of an earlier one with a difference is left out: it differs in the
// same way.
func (d *differ) stacks() {
	told := map[string]bool{}
	for _, name := range d.p.points {
		was, is := d.p.steps[name], d.v.steps[name]
		if len(is) == 0 {
			continue
		}
		a, b := d.p.functions(was[0]), d.v.functions(is[0])
		for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
			a, b = a[1:], b[1:]
		}
		x := Difference{Kind: KindStack, Point: name, Plain: strings.Join(a, " ← "), Varied: strings.Join(b, " ← ")}
		if (len(a) == 0) != (len(b) == 0) || x.Plain == x.Varied || told[x.Plain+"\n"+x.Varied] {
			continue
		}
		told[x.Plain+"\n"+x.Varied] = true
		d.add(x, "The run comes to %s by way of %s; the plain run by way of %s.", name, x.Varied, x.Plain)
	}
}

// functions returns the kernel's functions on the stack of a step, innermost first.
func (s *side) functions(step verdict.Step) (out []string) {
	for _, f := range s.event(step).Stack {
		if !f.User {
			out = append(out, f.Symbol)
		}
	}
	return out
}

// event returns the event of a step.
func (s *side) event(step verdict.Step) trace.Event {
	i := slices.IndexFunc(s.Trace.Events, func(e trace.Event) bool { return e.Seq == step.Seq })
	if i < 0 {
		return trace.Event{}
	}
	return s.Trace.Events[i]
}

// output compares the lines that the program prints.
func (d *differ) output() {
	was, is := lines(d.p.exit.Output), lines(d.v.exit.Output)
	for _, l := range less(was, is) {
		d.add(Difference{Kind: KindOutput, Plain: l}, "The program does not print “%s”.", l)
	}
	for _, l := range less(is, was) {
		d.add(Difference{Kind: KindOutput, Varied: l}, "The program prints “%s”; in the plain run it does not.", l)
	}
}

func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
}

// less returns the elements of a that are not in b, each as often as it is more often
// in a.
func less(a, b []string) (out []string) {
	b = slices.Clone(b)
	for _, s := range a {
		if i := slices.Index(b, s); i >= 0 {
			b = slices.Delete(b, i, i+1)
			continue
		}
		out = append(out, s)
	}
	return out
}

// end compares how the program ends.
func (d *differ) end() {
	x := Difference{Kind: KindEnd, Plain: ending(d.p.exit), Varied: ending(d.v.exit)}
	if x.Plain != x.Varied {
		d.add(x, "The program %s; in the plain run it %s.", x.Varied, x.Plain)
	}
}

func ending(e trace.Exit) string {
	switch {
	case e.Stops > 0:
		return fmt.Sprintf("was ended after %d stops", e.Stops)
	case e.TimedOut:
		return fmt.Sprintf("did not end within %v", e.Limit)
	case e.Panic != "":
		return fmt.Sprintf("made the kernel panic with %q", e.Panic)
	case e.Signal != "":
		return "was killed by " + e.Signal
	}
	return fmt.Sprintf("ended with exit status %d", e.Code)
}

// maxValues is the length up to which the values of a check are part of its sentence. What
// is no value, such as the order of the points, has differences of its own.
const maxValues = 100

// checks compares the verdicts of the checks.
func (d *differ) checks() {
	for _, is := range d.v.Result.Checks {
		i := slices.IndexFunc(d.p.Result.Checks, func(c verdict.Check) bool { return c.Name == is.Name && c.Kind == is.Kind })
		if i < 0 || is.Kind != "" || d.p.Result.Checks[i].Verdict == is.Verdict {
			continue
		}
		was := d.p.Result.Checks[i]
		x := Difference{Kind: KindCheck, What: is.Name, Plain: string(was.Verdict), Varied: string(is.Verdict)}
		switch {
		case is.Verdict == verdict.Skip:
			d.add(x, "“%s” is not checked: %s.", is.Name, strings.TrimSuffix(is.Observed, "."))
		case is.Verdict == verdict.Pass:
			d.add(x, "“%s” holds; in the plain run it does not.", is.Name)
		case is.Want != nil || is.Got != nil || is.Expected == "" || len(is.Expected)+len(is.Observed) > maxValues:
			d.add(x, "“%s” does not hold.", is.Name)
		default:
			d.add(x, "“%s” does not hold: the check expects %s, and the run shows %s.", is.Name, is.Expected, is.Observed)
		}
	}
}

// values compares what is shown at the points that both runs reach, and whose stop it is.
func (d *differ) values() {
	for _, name := range d.p.points {
		was, is := d.p.steps[name], d.v.steps[name]
		for k := range min(len(was), len(is)) {
			at := name
			if k > 0 {
				at = fmt.Sprintf("%s (%d)", name, k+1)
			}
			d.value(at, "task", task(was[k]), task(is[k]))
			d.value(at, "processor", strconv.Itoa(d.p.event(was[k]).CPU), strconv.Itoa(d.v.event(is[k]).CPU))
			for _, a := range was[k].Values {
				i := slices.IndexFunc(is[k].Values, func(b verdict.Value) bool { return b.Name == a.Name })
				if i >= 0 {
					d.value(at, a.Name, a.Text, is[k].Values[i].Text)
				}
			}
		}
	}
}

func (d *differ) value(at, name, was, is string) {
	switch {
	case was == is:
		d.Same++
	case d.p.unplaced(was) == d.v.unplaced(is):
		d.Placed++
	default:
		d.add(Difference{Kind: KindValue, Point: at, What: name, Plain: was, Varied: is}, "")
	}
}

var (
	address = regexp.MustCompile(`0x[0-9a-f]{7,}`)
	word    = regexp.MustCompile(`0x[0-9a-fA-F]+|[A-Za-z_][A-Za-z0-9_]*|[0-9]+`)
)

// unplaced returns a text without what differs between any two machines: addresses, and
// the pids of the lab's tasks, which become their roles.
func (s *side) unplaced(text string) string {
	text = address.ReplaceAllString(text, "ADDRESS")
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if role, ok := s.roles[w]; ok {
			return "pid of " + role
		}
		return w
	})
}
