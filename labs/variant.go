package labs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"kernellab/harness/expr"
	"kernellab/harness/variant"
	"kernellab/internal/nearest"
	"kernellab/internal/yamlnode"
)

// The limits of variants.
const (
	maxVariants = 8
	maxValues   = 64
	minValues   = 3 // the lab's own, and two for students
)

// Variant is something that differs between the tasks of students.
type Variant struct {
	Name string
	// Values are constants of the expression language. The first is the lab's own, when
	// no student is named; a student gets one of the others.
	Values []string
}

// With returns the lab with the task of these values, one for each variant; nil is the
// lab's own task. The error is about a variant or value that the lab does not have.
func (l Lab) With(values map[string]string) (Lab, error) {
	values, err := l.complete(values)
	if err != nil || maps.Equal(values, l.Chosen) {
		return l, err
	}
	out, err := parse(l.file, l.text, true, values)
	if err != nil {
		return l, fmt.Errorf("%s with %s: %w", l.Name, variant.Words(values), err)
	}
	out.Handout, out.program, out.outside, out.script = l.Handout, l.program, l.outside, l.script
	if out.Script, err = out.fill(out.script); err != nil {
		return l, fmt.Errorf("%s with %s: %s: %w", l.Name, variant.Words(values), l.ScriptFile, err)
	}
	return out, nil
}

// complete checks values, and returns nil for those of the lab's own task.
func (l Lab) complete(values map[string]string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	own := true
	for _, v := range l.Variants {
		value, ok := values[v.Name]
		if !ok {
			return nil, fmt.Errorf("%s: no value for the variant %s", l.Name, v.Name)
		}
		if !slices.Contains(v.Values, value) {
			return nil, fmt.Errorf("%s: the variant %s has no value %.40q: it has %s", l.Name, v.Name, value, strings.Join(v.Values, ", "))
		}
		own = own && value == v.Values[0]
	}
	for name := range values {
		if !slices.ContainsFunc(l.Variants, func(v Variant) bool { return v.Name == name }) {
			return nil, fmt.Errorf("%s has no variant %.40q", l.Name, name)
		}
	}
	if own {
		return nil, nil
	}
	return values, nil
}

// Student returns the values of a student's task, nil for a lab without variants.
func (l Lab) Student(secret variant.Secret, id string) map[string]string {
	if len(l.Variants) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, v := range l.Variants {
		own := v.Values[1:]
		out[v.Name] = own[secret.Choose(l.Name, v.Name, id, len(own))]
	}
	return out
}

// EachTask returns tasks that together have every value of every variant, as few as that
// takes. The lab's own task, nil, is the first.
func (l Lab) EachTask() []map[string]string {
	tasks := []map[string]string{nil}
	for i := 1; ; i++ {
		values, more := map[string]string{}, false
		for _, v := range l.Variants {
			more = more || i < len(v.Values)
			values[v.Name] = v.Values[1+(i-1)%(len(v.Values)-1)]
		}
		if !more {
			return tasks
		}
		tasks = append(tasks, values)
	}
}

// OwnArgs are further arguments of the lab's own program, which tell it the task:
// NAME=VALUE for each variant. The lab's own task has none.
func (l Lab) OwnArgs() []string {
	var args []string
	for _, v := range l.Variants {
		if value, ok := l.Chosen[v.Name]; ok {
			text, _ := constant(value) // which was checked
			args = append(args, v.Name+"="+text)
		}
	}
	return args
}

// values are those in effect.
func (l Lab) values() map[string]string {
	if l.Chosen != nil {
		return l.Chosen
	}
	out := map[string]string{}
	for _, v := range l.Variants {
		out[v.Name] = v.Values[0]
	}
	return out
}

// fill replaces each ${EXPRESSION} in a text by its value.
func (l Lab) fill(text string) (string, error) {
	if len(l.Variants) == 0 {
		return text, nil
	}
	return fill(text, l.values())
}

// noNames is the environment of constant expressions.
type noNames struct{}

func (noNames) Name(_ context.Context, name string) (any, error) {
	return nil, fmt.Errorf("unknown name %q: only constants and variant.NAME are known here", name)
}

func (noNames) Call(_ context.Context, function string, _ []any) (any, error) {
	return nil, fmt.Errorf("no function %q here", function)
}

// constant returns the value of a constant expression as text.
func constant(src string) (string, error) {
	e, err := expr.Parse(src)
	if err != nil {
		return "", err
	}
	v, err := e.Eval(context.Background(), noNames{})
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case int:
		return strconv.Itoa(v), nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("%s is neither a whole number nor a text", src)
}

// fill replaces each ${EXPRESSION} in a text by the value of the expression.
func fill(text string, values map[string]string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		src, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", errors.New("${ without a closing }")
		}
		src, err := substitute(src, values)
		if err != nil {
			return "", err
		}
		value, err := constant(src)
		if err != nil {
			return "", fmt.Errorf("${%s}: %w", src, err)
		}
		b.WriteString(value)
		text = after
	}
}

// token matches a text in quotes, or a name with members, of an expression.
var token = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`|[A-Za-z_][A-Za-z0-9_]*(?:\\s*\\.\\s*[A-Za-z_][A-Za-z0-9_]*)*")

// plain matches a value that needs no parentheses in an expression.
var plain = regexp.MustCompile(`^(?:[A-Za-z0-9_]+|"[^"\\]*")$`)

// substitute replaces each variant.NAME in an expression by the value.
func substitute(src string, values map[string]string) (string, error) {
	var wrong error
	out := token.ReplaceAllStringFunc(src, func(t string) string {
		name, ok := strings.CutPrefix(t, "variant.")
		if !ok {
			return t
		}
		value, ok := values[name]
		if !ok {
			known := slices.Sorted(maps.Keys(values))
			wrong = fmt.Errorf("no variant %q%s", name, nearest.Hint(name, known))
			return t
		}
		if !plain.MatchString(value) {
			value = "(" + value + ")"
		}
		return value
	})
	return out, wrong
}

// variants reads the variants, and fills in the texts of the file. chosen are the
// values, nil for the lab's own.
func (r *reader) variants(doc ast.Node, lab *Lab, chosen map[string]string) {
	all, _ := yamlnode.Pairs(doc)
	i := slices.IndexFunc(all, func(p yamlnode.Pair) bool { return p.Key == "variants" })
	if i < 0 {
		return
	}
	r.lines["variants"] = all[i].Line
	for _, p := range r.pairs(all[i].Value, "variants") {
		lab.Variants = append(lab.Variants, Variant{p.key, r.variant(p)})
	}
	if n := len(lab.Variants); n == 0 || n > maxVariants {
		r.bad(all[i].Line, "variants: want from 1 to %d names with values, not %d", maxVariants, n)
	}
	if r.errs != nil {
		return
	}
	lab.Chosen = chosen
	r.values = lab.values()
	ast.Walk(filler{r}, doc)
}

// variant reads the values of one variant.
func (r *reader) variant(p pair) []string {
	if !identifier.MatchString(p.key) {
		r.bad(p.line, "variant %q: want a word of letters, digits and _", p.key)
	}
	var values []string
	r.list(func(_ int, n ast.Node) {
		s, ok := yamlnode.Scalar(n)
		if !ok || s == "" {
			r.bad(yamlnode.Line(n), "variant %s: want values such as 7 and SIGTERM", p.key)
			return
		}
		if _, err := constant(s); err != nil {
			r.bad(yamlnode.Line(n), "variant %s: %w", p.key, err)
			return
		}
		if slices.Contains(values, s) {
			r.bad(yamlnode.Line(n), "variant %s: %s is there twice", p.key, s)
			return
		}
		values = append(values, s)
	})(p)
	if n := len(values); r.errs == nil && (n < minValues || n > maxValues) {
		r.bad(p.line, "variant %s: want from %d to %d values, the first for the lab's own task and the others for students, not %d", p.key, minValues, maxValues, n)
	}
	return values
}

// filler is a visitor that fills in the texts of a file.
type filler struct{ *reader }

// Visit fills in a node.
func (f filler) Visit(n ast.Node) ast.Visitor {
	s, ok := n.(*ast.StringNode)
	if ok && strings.Contains(s.Value, "${") {
		text, err := fill(s.Value, f.values)
		if err != nil {
			f.bad(yamlnode.Line(n), "%w", err)
			return f
		}
		s.Value = text
	}
	return f
}

// expression returns an expression with the values of variants in it.
func (r *reader) expression(line int, src string) string {
	if r.values == nil {
		return src
	}
	out, err := substitute(src, r.values)
	if err != nil {
		r.bad(line, "%w", err)
	}
	return out
}

// validateTasks validates the lab with every value of its variants.
func (l Lab) validateTasks() error {
	if len(l.Variants) == 0 {
		return nil
	}
	if l.Task == "" {
		return &Error{File: l.file, Err: errors.New(`variants: say with "task" what the student has to do, in words with the values: exit with status ${variant.exit_status}`)}
	}
	for _, values := range l.EachTask()[1:] {
		task, err := parse(l.file, l.text, false, values)
		if err == nil {
			err = sameNames(l.names(), task.names())
		}
		if err != nil {
			return &Error{File: l.file, Err: fmt.Errorf("with %s: %w", variant.Words(values), err)}
		}
	}
	return nil
}

// names returns the names of the lab's checks and questions.
func (l Lab) names() []string {
	var names []string
	for _, c := range l.Checks {
		names = append(names, c.Name)
	}
	for _, q := range l.Questions {
		names = append(names, q.Name)
	}
	return names
}

// sameNames refuses a name that differs between tasks.
func sameNames(own, other []string) error {
	for i, name := range own {
		if name != other[i] {
			return fmt.Errorf("the check or question %q is called %q: a class has one name for each, so leave variants out of it", name, other[i])
		}
	}
	return nil
}
