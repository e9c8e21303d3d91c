package labs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/parser"

	"kernellab/harness/arch"
	"kernellab/harness/probe"
)

// probe reports what is wrong in the expressions that the probe evaluates.
func (r *reader) probe(path string, p Point) {
	for _, a := range arch.Names() {
		if err := checkWhen(p.When.For(a)); err != nil {
			r.bad(r.lines[path+".when"], "when: %w", err)
		}
		if err := checkRead(p.Child.For(a)); err != nil {
			r.bad(r.lines[path+".child"], "child: %w", err)
		}
		for i, read := range p.Reads {
			if err := checkRead(read.Expr.For(a)); err != nil {
				r.bad(r.lines[fmt.Sprintf("%s.reads[%d]", path, i)], "reads: %s: %w", read.Name, err)
			}
		}
	}
}

// checkWhen reports whether the probe can evaluate a condition.
func checkWhen(src string) error {
	if src == "" {
		return nil
	}
	if _, err := parser.Parse(src); err != nil {
		s, _, _ := strings.Cut(err.Error(), "\n")
		return errors.New(s)
	}
	return nil
}

// checkRead reports whether the probe can evaluate a read.
func checkRead(src string) error {
	if src == "" {
		return nil
	}
	if err := probe.CheckRead(src); err != nil {
		s, _, _ := strings.Cut(err.Error(), "\n") // expr draws the place below
		return errors.New(s)
	}
	return nil
}
