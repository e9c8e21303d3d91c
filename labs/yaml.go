package labs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/hashicorp/go-multierror"

	"kernellab/harness/arch"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/nearest"
	"kernellab/internal/yamlnode"
)

// reader reads the nodes of one file and collects what is wrong, so that an
// author sees every mistake at once. Decoding into structs would lose the order
// of maps and the lines that later checks name.
type reader struct {
	file  string
	known bool // to be good, as to the names that it uses
	errs  *multierror.Error
	// lines are where things are, by the paths of grade.RuleError.
	lines map[string]int
	last  string // the last error, which is not told twice
	told  map[string]bool
	// values are those of the lab's variants, nil for a lab without.
	values map[string]string
}

func (r *reader) bad(line int, format string, args ...any) {
	err := &Error{File: r.file, Line: line, Err: fmt.Errorf(format, args...)}
	if err.Error() == r.last {
		return
	}
	r.last = err.Error()
	r.errs = multierror.Append(r.errs, err)
}

func (r *reader) err() error {
	if r.errs != nil {
		r.errs.ErrorFormat = listErrors
	}
	return r.errs.ErrorOrNil()
}

// document returns the one mapping that the file is.
func (r *reader) document(data []byte) (node ast.Node, err error) {
	// The YAML library has been known to panic on malformed input.
	defer func() {
		if p := recover(); p != nil {
			node, err = nil, &Error{File: r.file, Err: fmt.Errorf("not YAML: %v", p)}
		}
	}()
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, &Error{File: r.file, Line: syntax.GetToken().Position.Line, Err: errors.New(syntax.GetMessage())}
		}
		return nil, &Error{File: r.file, Err: err}
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return nil, &Error{File: r.file, Err: fmt.Errorf("%d YAML documents, and exactly one that is not empty is wanted", len(f.Docs))}
	}
	return f.Docs[0].Body, nil
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	line  int
	value ast.Node
}

// pairs returns the entries of a mapping in the file's order.
func (r *reader) pairs(n ast.Node, what string) []pair {
	all, ok := yamlnode.Pairs(n)
	if !ok {
		r.bad(yamlnode.Line(n), "%s: want names with values", what)
		return nil
	}
	var out []pair
	for _, p := range all {
		if !p.Named || p.Key == "" {
			r.bad(p.Line, "%s: a name is wanted before the colon", what)
			continue
		}
		if slices.ContainsFunc(out, func(o pair) bool { return o.key == p.Key }) {
			r.bad(p.Line, "%s: %q is there twice", what, p.Key)
			continue
		}
		out = append(out, pair{p.Key, p.Line, p.Value})
	}
	return out
}

// fields reads a mapping whose keys are known, each by its function.
func (r *reader) fields(n ast.Node, what string, known []field) {
	var names []string
	for _, f := range known {
		names = append(names, f.name)
	}
	seen := map[string]bool{}
	for _, p := range r.pairs(n, what) {
		i := slices.Index(names, p.key)
		if i < 0 {
			r.bad(p.line, "%s: unknown key %q%s", what, p.key, nearest.Hint(p.key, names))
			continue
		}
		seen[p.key] = true
		known[i].read(p)
	}
	for _, f := range known {
		if f.needed && !seen[f.name] {
			r.bad(yamlnode.Line(n), "%s: no %q", what, f.name)
		}
	}
}

// field is a known key of a mapping.
type field struct {
	name   string
	needed bool
	read   func(pair)
}

func (r *reader) text(to *string) func(pair) {
	return func(p pair) {
		s, ok := yamlnode.Scalar(p.value)
		if !ok || s == "" {
			r.bad(p.line, "%s: want a text", p.key)
			return
		}
		*to = s
	}
}

func (r *reader) number(to *int, low, high int) func(pair) {
	return func(p pair) {
		s, _ := yamlnode.Scalar(p.value)
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			r.bad(p.line, "%s: want a number from %d to %d, not %q", p.key, low, high, s)
			return
		}
		*to = n
	}
}

func (r *reader) truth(to *bool) func(pair) {
	return func(p pair) {
		b, ok := p.value.(*ast.BoolNode)
		if !ok {
			r.bad(p.line, "%s: want true or false", p.key)
			return
		}
		*to = b.Value
	}
}

// byArch reads a text, or a text for every architecture.
func (r *reader) byArch(to *ByArch) func(pair) {
	return func(p pair) {
		if s, ok := yamlnode.Scalar(p.value); ok && s != "" {
			*to = ByArch{"": r.expression(p.line, s)}
			return
		}
		out, names := ByArch{}, arch.Names()
		for _, a := range r.pairs(p.value, p.key) {
			if !slices.Contains(names, a.key) {
				r.bad(a.line, "%s: unknown architecture %q%s", p.key, a.key, nearest.Hint(a.key, names))
				continue
			}
			var s string
			r.text(&s)(a)
			out[a.key] = r.expression(a.line, s)
		}
		for _, a := range names {
			if _, ok := out[a]; !ok {
				r.bad(p.line, "%s: nothing for %s", p.key, a)
			}
		}
		*to = out
	}
}

// named reads expressions with names, in order.
func (r *reader) named(to *[]Named, path string) func(pair) {
	return func(p pair) {
		for i, v := range r.pairs(p.value, p.key) {
			n := Named{Name: v.key, Line: v.line}
			r.lines[fmt.Sprintf("%s[%d]", path, i)] = v.line
			r.byArch(&n.Expr)(v)
			*to = append(*to, n)
		}
	}
}

// word reads one of some words.
func (r *reader) word(to *string, known []string) func(pair) {
	return func(p pair) {
		var s string
		r.text(&s)(p)
		if s != "" && !slices.Contains(known, s) {
			r.bad(p.line, "%s: unknown word %q%s", p.key, s, nearest.Hint(s, known))
			return
		}
		*to = s
	}
}

// visibility reads when students see something.
func (r *reader) visibility(to *verdict.Visibility) func(pair) {
	return func(p pair) {
		var word string
		r.word(&word, verdict.Visibilities())(p)
		*to = verdict.Visibility(word)
	}
}

// texts reads a text, or a list of them.
func (r *reader) texts(to *[]string) func(pair) {
	return func(p pair) {
		if s, ok := yamlnode.Scalar(p.value); ok && s != "" {
			*to = []string{s}
			return
		}
		r.list(func(_ int, n ast.Node) {
			s, ok := yamlnode.Scalar(n)
			if !ok || s == "" {
				r.bad(yamlnode.Line(n), "%s: want a text", p.key)
				return
			}
			*to = append(*to, s)
		})(p)
	}
}

// mostTimes bounds a number of hits.
const mostTimes = 1000

// times reads a number of hits, "3", or a range, "1..3", "1..".
func (r *reader) times(to **trace.Range) func(pair) {
	return func(p pair) {
		s, _ := yamlnode.Scalar(p.value)
		from, upTo, isRange := strings.Cut(s, "..")
		least, err := strconv.Atoi(from)
		most := least
		if err == nil && isRange {
			if most = -1; upTo != "" {
				most, err = strconv.Atoi(upTo)
			}
		}
		if err != nil || least < 0 || least > mostTimes || most > mostTimes || most >= 0 && most < least || isRange && most == 0 {
			r.bad(p.line, "%s: want a number from 0 to %d, or a range such as 1..3 or 1.., not %q", p.key, mostTimes, s)
			return
		}
		*to = &trace.Range{Least: least, Most: most}
	}
}

// absent reads a reason for each architecture that lacks something.
func (r *reader) absent(to *map[string]string) func(pair) {
	return func(p pair) {
		out, names := map[string]string{}, arch.Names()
		for _, a := range r.pairs(p.value, p.key) {
			if !slices.Contains(names, a.key) {
				r.bad(a.line, "%s: unknown architecture %q%s", p.key, a.key, nearest.Hint(a.key, names))
				continue
			}
			var s string
			r.text(&s)(a)
			out[a.key] = s
		}
		*to = out
	}
}

// list calls read for every item of a sequence.
func (r *reader) list(read func(i int, n ast.Node)) func(pair) {
	return func(p pair) {
		s, ok := p.value.(*ast.SequenceNode)
		if !ok {
			r.bad(p.line, "%s: want a list, its items on lines that begin with a dash", p.key)
			return
		}
		for i, n := range s.Values {
			read(i, n)
		}
	}
}
