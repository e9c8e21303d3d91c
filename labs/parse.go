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
)

// parse reads and validates a lab.yaml; file is its name in errors.
func parse(file string, data []byte) (Lab, error) {
	r := &reader{file: file, lines: map[string]int{}}
	doc, err := r.document(data)
	if err != nil {
		return Lab{}, err
	}
	var lab Lab
	r.fields(doc, "the lab", []field{
		{"name", true, r.at("name", r.text(&lab.Name))},
		{"order", true, r.number(&lab.Order, 1, 999)},
		{"title", true, r.text(&lab.Title)},
		{"summary", true, r.text(&lab.Summary)},
		{"program", true, func(p pair) { r.program(p, &lab) }},
		{"points", true, r.at("points", r.list(func(i int, n ast.Node) { r.point(i, n, &lab) }))},
		{"sequence", false, r.scored("sequence", &lab.Sequence)},
		{"hits", false, r.scored("hits", &lab.Hits)},
		{"checks", false, r.at("checks", r.list(func(i int, n ast.Node) { r.check(i, n, &lab) }))},
		{"submission", false, r.at("submission", func(p pair) { r.submission(p, &lab) })},
		{"questions", false, r.at("questions", r.list(func(i int, n ast.Node) { r.question(i, n, &lab) }))},
	})
	if r.errs == nil {
		r.validate(lab)
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
		{"output", false, r.list(func(i int, n ast.Node) {
			s, ok := scalar(n)
			if !ok || strings.TrimSpace(s) == "" || strings.Contains(s, "\n") {
				r.bad(line(n), "output: want one line of text")
				return
			}
			lab.Output = append(lab.Output, s)
		})},
		{"exit", false, r.number(&lab.Exit, 0, 255)},
		{"writable", false, r.list(func(i int, n ast.Node) {
			s, ok := scalar(n)
			if !ok || s != path.Clean(s) || !strings.HasPrefix(s, "/sys/") {
				r.bad(line(n), "writable: want the path of a file below /sys, not %q", s)
				return
			}
			lab.Writable = append(lab.Writable, s)
		})},
	})
}

func (r *reader) scored(path string, to *grade.Scored) func(pair) {
	return func(p pair) {
		r.lines[path] = p.line
		r.fields(p.value, path, []field{
			{"name", true, r.at(path+".name", r.text(&to.Name))},
			{"score", false, r.number(&to.Score, 1, 100)},
		})
	}
}

func (r *reader) point(i int, n ast.Node, lab *Lab) {
	path := fmt.Sprintf("points[%d]", i)
	p := Point{Step: true}
	r.lines[path] = line(n)
	r.fields(n, "point", []field{
		{"point", true, r.at(path+".point", r.text(&p.Name))},
		{"task", true, r.at(path+".task", r.text(&p.Role))},
		{"entry", false, r.at(path+".entry", r.truth(&p.Entry))},
		{"step", false, r.truth(&p.Step)},
		{"hits", false, r.number(&p.Hits, 1, 1000)},
		{"when", false, r.at(path+".when", r.byArch(&p.When))},
		{"aside", false, r.text(&p.Aside)},
		{"child", false, r.at(path+".child", r.byArch(&p.Child))},
		{"armed", false, r.at(path+".armed", r.text(&p.Armed))},
		{"after", false, r.at(path+".after", r.text(&p.After))},
		{"means", true, r.text(&p.Means)},
		{"reads", false, r.named(&p.Reads, path+".reads")},
		{"show", false, r.named(&p.Show, path+".show")},
	})
	lab.Points = append(lab.Points, p)
}

func (r *reader) check(i int, n ast.Node, lab *Lab) {
	path := fmt.Sprintf("checks[%d]", i)
	var c Check
	r.lines[path] = line(n)
	r.fields(n, "check", []field{
		{"name", true, r.at(path+".name", r.text(&c.Name))},
		{"at", false, r.at(path+".at", r.text(&c.At))},
		{"observed", true, r.at(path+".observed", r.byArch(&c.Observed))},
		{"expected", true, r.at(path+".expected", r.byArch(&c.Expected))},
		{"format", false, r.at(path+".format", r.text(&c.Format))},
		{"why", true, r.text(&c.Why)},
		{"score", false, r.number(&c.Score, 1, 100)},
	})
	lab.Checks = append(lab.Checks, c)
}

// name is what labs are called: a folder, and a word on the command line.
var name = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// validate reports what is wrong beyond the shape of the file.
func (r *reader) validate(lab Lab) {
	if !name.MatchString(lab.Name) {
		r.bad(r.lines["name"], "name %q: want small letters, digits and hyphens", lab.Name)
	}
	var seen []string
	for i, p := range lab.Points {
		path := fmt.Sprintf("points[%d]", i)
		if p.Armed != "" && !slices.Contains(seen, p.Armed) {
			r.bad(r.lines[path+".armed"], "armed: no earlier point %q%s", p.Armed, didYouMean(p.Armed, seen))
		}
		if p.Entry && p.Armed != "" {
			r.bad(r.lines[path+".armed"], "armed: the entry is armed from the start")
		}
		r.probe(path, p)
		seen = append(seen, p.Name)
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
