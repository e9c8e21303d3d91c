package labs

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/hashicorp/go-multierror"

	"kernellab/harness/arch"
	"kernellab/harness/grade"
	"kernellab/harness/kernel"
	"kernellab/harness/plan"
	"kernellab/harness/probe"
	"kernellab/harness/submission"
	"kernellab/harness/trace"
	"kernellab/internal/nearest"
	"kernellab/internal/yamlnode"
)

// parse reads a lab.yaml, whose name in errors is file, and validates it unless it
// is known to be good. chosen are the values of its variants, nil for the lab's own task.
func parse(file string, data []byte, known bool, chosen map[string]string) (Lab, error) {
	r := &reader{file: file, known: known, lines: map[string]int{}, told: map[string]bool{}}
	doc, err := r.document(data)
	if err != nil {
		return Lab{}, err
	}
	lab := Lab{file: file, text: data, tasks: map[string][]plan.Task{}, points: map[string][]plan.Point{}}
	r.variants(doc, &lab, chosen)
	if r.errs != nil {
		return lab, r.err()
	}
	r.fields(doc, "the lab", []field{
		{"name", true, r.at("name", r.text(&lab.Name))},
		{"order", true, r.number(&lab.Order, 0, 999)},
		{"minutes", false, r.number(&lab.Minutes, 1, 600)},
		{"builds_on", false, r.at("builds_on", r.texts(&lab.BuildsOn))},
		{"title", true, r.text(&lab.Title)},
		{"summary", true, r.text(&lab.Summary)},
		{"variants", false, func(pair) {}}, // which are read
		{"task", false, r.at("task", r.text(&lab.Task))},
		{"program", true, r.at("program", func(p pair) { r.program(p, &lab) })},
		{"tasks", true, func(p pair) { r.tasks(p, &lab) }},
		{"points", true, r.at("points", r.list(func(i int, n ast.Node) { r.point(i, n, &lab) }))},
		{"instead", false, r.at("instead", func(p pair) { r.instead(p, &lab) })},
		{"sequence", false, r.scored("sequence", &lab.Sequence)},
		{"hits", false, r.scored("hits", &lab.Hits)},
		{"marks", false, r.at("marks", func(p pair) {
			r.fields(p.value, "marks", []field{
				{"call", true, r.at("marks.call", r.number(&lab.Marks.Call, 1, 100))},
				{"output", true, r.number(&lab.Marks.Output, 1, 100)},
				{"exit", true, r.number(&lab.Marks.Exit, 1, 100)},
			})
		})},
		{"checks", false, r.at("checks", r.list(func(i int, n ast.Node) { r.check(i, n, &lab) }))},
		{"submission", false, r.at("submission", func(p pair) { r.submission(p, &lab) })},
		{"questions", false, r.at("questions", r.list(func(i int, n ast.Node) { r.question(i, n, &lab) }))},
		{"what_if", false, func(p pair) { r.whatIf(p, &lab) }},
	})
	if r.errs == nil && !known {
		r.validate(lab)
	}
	if r.errs == nil && !known && chosen == nil {
		if err := lab.validateTasks(); err != nil {
			return lab, err
		}
	}
	return lab, r.err()
}

// at notes the line of a path.
func (r *reader) at(path string, read func(pair)) func(pair) {
	return func(p pair) {
		r.lines[path] = p.line
		read(p)
	}
}

func (r *reader) program(p pair, lab *Lab) {
	r.fields(p.value, "program", []field{
		{"output", false, r.list(func(_ int, n ast.Node) { r.output(n, lab) })},
		{"exit", false, r.number(&lab.Exit, 0, 255)},
		{"open", false, r.list(func(i int, n ast.Node) {
			s, ok := yamlnode.Scalar(n)
			if !ok || s != path.Clean(s) || !strings.HasPrefix(s, "/proc/") && !strings.HasPrefix(s, "/sys/") {
				r.bad(yamlnode.Line(n), "open: want the path of a file below /proc or /sys, not %q", s)
				return
			}
			lab.Open = append(lab.Open, s)
		})},
		{"signal", false, r.at("program.signal", r.word(&lab.Signal, signals()))},
		{"panic", false, r.at("program.panic", r.text(&lab.Panic))},
		{"init", false, r.truth(&lab.Init)},
		{"args", false, r.texts(&lab.Args)},
		{"script", false, r.word(&lab.ScriptFile, []string{submission.ScriptFile})},
		{"visibility", false, r.visibility(&lab.ProgramVisibility)},
	})
	if lab.Signal != "" && lab.Exit != 0 {
		r.bad(r.lines["program.signal"], "signal: a program that a signal ends has no exit status")
	}
}

// validatePanic reports what is wrong with a panic that a lab expects.
func (r *reader) validatePanic(lab Lab) {
	line := r.lines["program.panic"]
	switch {
	case lab.Panic == "" && lab.Init:
		r.bad(r.lines["program"], "init: the first process does not end without a panic, so want its \"panic\"")
	case lab.Panic == "":
	case lab.Signal != "" || lab.Exit != 0:
		r.bad(line, "panic: a program whose kernel panics does not end by an exit status or a signal")
	case strings.HasPrefix(lab.Panic, trace.PanicSign):
		r.bad(line, "panic: leave out %q, which every panic begins with", trace.PanicSign)
	case !slices.ContainsFunc(lab.points[arch.Names()[0]], func(p plan.Point) bool { return p.Place == "panic" && p.Step && p.Times().Least > 0 }):
		r.bad(line, "panic: want a step of the path at the point panic, so that the kernel itself shows the panic")
	}
}

// signals are the names of signals that may end a program.
func signals() []string {
	var names []string
	for n := 1; n < 32; n++ {
		names = append(names, trace.Signal(n))
	}
	return names
}

// output reads a line that the program prints: a text, or a pattern.
func (r *reader) output(n ast.Node, lab *Lab) {
	if s, ok := yamlnode.Scalar(n); ok && strings.TrimSpace(s) != "" && !strings.Contains(s, "\n") {
		lab.Output = append(lab.Output, s)
		return
	}
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		r.bad(yamlnode.Line(n), "output: want one line of text, or matches: PATTERN")
		return
	}
	var pattern, line, after string
	r.fields(n, "output", []field{
		{"matches", false, r.text(&pattern)}, {"line", false, r.text(&line)}, {"after", false, r.text(&after)},
	})
	switch {
	case pattern != "" && line+after != "", pattern == "" && (line == "" || after == ""):
		r.bad(yamlnode.Line(n), "output: want matches: PATTERN, or line: TEXT and after: TEXT")
		return
	case line != "":
		if lab.Before == nil {
			lab.Before = map[string]string{}
		}
		lab.Output, lab.Before[line] = append(lab.Output, line), after
		r.lines["program.output"] = yamlnode.Line(n)
		return
	}
	r.lines[fmt.Sprintf("program.output.matches[%d]", len(lab.Patterns))] = yamlnode.Line(n)
	lab.Patterns = append(lab.Patterns, pattern)
}

// instead reads the other ways to do what the entry does.
func (r *reader) instead(p pair, lab *Lab) {
	for _, way := range r.pairs(p.value, "instead") {
		s, ok := yamlnode.Scalar(way.value)
		if !ok || s == "" || !identifier.MatchString(way.key) {
			r.bad(way.line, "instead: want a function of the kernel and what it is for a person")
			continue
		}
		lab.Instead = append(lab.Instead, Instead{Place: way.key, Means: s})
	}
}

// tasks reads the roles: a text, or a mapping with a condition.
func (r *reader) tasks(p pair, lab *Lab) {
	r.lines["tasks"] = p.line
	for _, t := range r.pairs(p.value, "tasks") {
		task, when := plan.Task{Role: t.key}, ByArch(nil)
		path := "tasks." + t.key
		r.lines[path] = t.line
		if s, ok := yamlnode.Scalar(t.value); ok && s != "" {
			task.Means = s
		} else {
			r.fields(t.value, "task "+t.key, []field{
				{"means", true, r.text(&task.Means)},
				{"when", false, r.at(path+".when", r.byArch(&when))},
			})
		}
		if !identifier.MatchString(t.key) || t.key == plan.Any {
			r.bad(t.line, "task %q: want a word of letters, digits and _, and not %q", t.key, plan.Any)
		}
		for _, a := range arch.Names() {
			task.When = when.For(a)
			lab.tasks[a] = append(lab.tasks[a], task)
		}
	}
}

// identifier is what expressions can name.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (r *reader) scored(path string, to *grade.Scored) func(pair) {
	return func(p pair) {
		r.lines[path] = p.line
		r.fields(p.value, path, []field{
			{"name", true, r.at(path+".name", r.text(&to.Name))},
			{"score", false, r.number(&to.Score, 1, 100)},
			{"visibility", false, r.visibility(&to.Visibility)},
		})
	}
}

func (r *reader) point(i int, n ast.Node, lab *Lab) {
	path, line := fmt.Sprintf("points[%d]", i), yamlnode.Line(n)
	p := plan.Point{Step: true, Source: lab.source(line)}
	required := true
	var when, lifetime ByArch
	var finds, reads, show []Named
	var absent map[string]string // by architecture: why it does not have the point
	var only string              // the one architecture whose way this is
	r.lines[path] = line
	r.fields(n, "point", []field{
		{"point", false, r.at(path+".point", r.text(&p.Place))},
		{"return", false, r.at(path+".return", r.text(&p.ReturnOf))},
		{"as", false, r.at(path+".as", r.text(&p.Name))},
		{"task", true, r.at(path+".task", r.text(&p.Role))},
		{"entry", false, r.at(path+".entry", r.truth(&p.Entry))},
		{"step", false, r.truth(&p.Step)},
		{"anytime", false, r.truth(&p.Anytime)},
		{"required", false, r.truth(&required)},
		{"absent", false, r.absent(&absent)},
		{"only", false, r.word(&only, arch.Names())},
		{"hits", false, r.at(path+".hits", r.times(&p.Hits))},
		{"when", false, r.at(path+".when", r.byArch(&when))},
		{"aside", false, r.text(&p.Aside)},
		{"finds", false, r.named(&finds, path+".finds")},
		{"within", false, r.at(path+".within", r.text(&p.Within))},
		{"armed", false, r.at(path+".armed", r.texts(&p.Armed))},
		{"until", false, r.at(path+".until", r.text(&p.Until))},
		{"after", false, r.at(path+".after", r.texts(&p.After))},
		{"stacks", false, r.at(path+".stacks", r.texts(&p.Stacks))},
		{"means", true, r.text(&p.Means)},
		{"lifetime", false, r.at(path+".lifetime", r.byArch(&lifetime))},
		{"reads", false, r.named(&reads, path+".reads")},
		{"show", false, r.named(&show, path+".show")},
		{"visibility", false, r.visibility(&p.Visibility)},
	})
	p.Optional = !required
	r.place(path, line, &p, lab)
	for _, a := range arch.Names() {
		q := p
		if q.Absent = absent[a]; only != "" && only != a {
			q.Absent, q.Elsewhere = "it is the way of "+only, true
		}
		q.Entry = p.Entry && q.Absent == ""
		q.When, q.Lifetime = when.For(a), lifetime.For(a)
		q.Finds, q.Reads, q.Show = lab.on(a, finds), lab.on(a, reads), lab.on(a, show)
		lab.points[a] = append(lab.points[a], q)
	}
}

// on returns expressions as an architecture has them.
func (l Lab) on(arch string, all []Named) []plan.Named {
	var out []plan.Named
	for _, n := range all {
		out = append(out, plan.Named{Name: n.Name, Expr: n.Expr.For(arch), Source: l.source(n.Line)})
	}
	return out
}

// place settles what a point is called and where it is.
func (r *reader) place(path string, line int, p *plan.Point, lab *Lab) {
	switch {
	case p.Place == "" && p.ReturnOf == "":
		r.bad(line, "point: no \"point\", nor \"return\" of an earlier one")
	case p.Place != "" && p.ReturnOf != "":
		r.bad(r.lines[path+".return"], "return: it is a point, or the return of one, and not both")
	case p.Name == "" && p.ReturnOf != "":
		r.bad(r.lines[path+".return"], "return: give the return a name of its own with \"as\"")
	case p.Name == "":
		p.Name = p.Place
	}
	if p.Name != "" && !identifier.MatchString(p.Name) {
		r.bad(line, "point %q: want a word of letters, digits and _, for expressions to use", p.Name)
	}
	if p.ReturnOf != "" {
		for _, q := range lab.points[arch.Names()[0]] {
			if q.Name == p.ReturnOf {
				p.Place = q.Place
			}
		}
		return
	}
	r.knownPoint(path, *p)
}

// knownPoint tells a misspelt point. Any function of the kernel may be one, so a
// name that is near to none in the table is taken.
func (r *reader) knownPoint(path string, p plan.Point) {
	if r.known {
		return
	}
	known := kernel.Points()
	if slices.Contains(known, p.Place) {
		return
	}
	const slips = 2
	for _, k := range known {
		if nearest.Distance(p.Place, k) <= slips {
			r.bad(r.lines[path+".point"], "point: unknown point %q: did you mean %q?", p.Place, k)
			return
		}
	}
}

func (r *reader) check(i int, n ast.Node, lab *Lab) {
	path := fmt.Sprintf("checks[%d]", i)
	var c Check
	r.lines[path] = yamlnode.Line(n)
	r.fields(n, "check", []field{
		{"name", true, r.at(path+".name", r.text(&c.Name))},
		{"at", false, r.at(path+".at", r.text(&c.At))},
		{"observed", false, r.at(path+".observed", r.byArch(&c.Observed))},
		{"expected", false, r.at(path+".expected", r.byArch(&c.Expected))},
		{"that", false, r.at(path+".that", r.byArch(&c.That))},
		{"format", false, r.at(path+".format", r.text(&c.Format))},
		{"why", true, r.text(&c.Why)},
		{"asked", false, r.at(path+".asked", r.texts(&c.Asked))},
		{"score", false, r.number(&c.Score, 1, 100)},
		{"visibility", false, r.visibility(&c.Visibility)},
	})
	switch {
	case c.That != nil && c.Expected != nil:
		r.bad(r.lines[path+".expected"], "expected: a check with \"that\" passes when it is true, and expects nothing else")
	case c.That == nil && (c.Observed == nil || c.Expected == nil):
		r.bad(yamlnode.Line(n), "check: want \"observed\" and \"expected\", or \"that\"")
	}
	lab.Checks = append(lab.Checks, c)
}

// nameOfLab is what labs are called: a folder, and a word on the command line.
var nameOfLab = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// validate reports what is wrong beyond the shape of the file.
func (r *reader) validate(lab Lab) {
	if !nameOfLab.MatchString(lab.Name) {
		r.bad(r.lines["name"], "name %q: want small letters, digits and hyphens", lab.Name)
	}
	r.roles(lab)
	r.validatePanic(lab)
	plans := map[string]probe.Plan{}
	for _, a := range arch.Names() {
		plans[a] = lab.Plan(a)
	}
	for i, p := range lab.points[arch.Names()[0]] {
		path := fmt.Sprintf("points[%d]", i)
		if lab.enters(i) && len(p.Armed) > 0 {
			r.bad(r.lines[path+".armed"], "armed: the entry is armed from the start")
		}
		if p.ReturnOf != "" && len(p.Armed) > 0 {
			r.bad(r.lines[path+".armed"], "armed: a return is armed by its call")
		}
		if p.Within != "" {
			earlier := lab.points[arch.Names()[0]][:i]
			j := slices.IndexFunc(earlier, func(q plan.Point) bool { return q.Name == p.Within })
			switch {
			case j < 0:
				r.bad(r.lines[path+".within"], "within: no earlier point %q", p.Within)
			case earlier[j].Role != p.Role, lab.enters(i), p.ReturnOf != "":
				r.bad(r.lines[path+".within"], "within: a step of a call is a later point of the task that makes it, and no entry or return")
			}
		}
		r.probe(path, i, lab, plans)
	}
	r.asked(lab)
	told := map[string]bool{}
	for _, a := range arch.Names() {
		var all *multierror.Error
		if errors.As(lab.Rules(a).Validate(), &all) {
			for _, err := range all.Errors {
				r.rule(err, a, told)
			}
		}
	}
}

// rule tells a mistake the grader found, at its line. What is wrong on every
// architecture is told once.
func (r *reader) rule(err error, arch string, told map[string]bool) {
	var re *grade.RuleError
	if !errors.As(err, &re) {
		r.bad(0, "%w", err)
		return
	}
	path := re.Path
	for r.lines[path] == 0 && strings.ContainsAny(path, ".[") {
		path = path[:strings.LastIndexAny(path, ".[")]
	}
	if told[re.Error()] {
		return
	}
	told[re.Error()] = true
	key := re.Path[strings.LastIndex(re.Path, ".")+1:]
	r.bad(r.lines[path], "%s: %w", key, re.Err)
}
