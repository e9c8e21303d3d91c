package view

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/expr"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// value writes a recorded word: small numbers in decimal, others in hexadecimal.
func (d decoder) value(w trace.Word) string {
	return expr.Format(int(w), "", func(trace.Word) string { return "" })
}

// note says what an address is, "" for what is not known: a point of the lab, the
// task_struct of a task of the lab, or a place in a kernel stack that was recorded.
func (d decoder) note(w trace.Word) string {
	if symbol := d.symbols[w]; symbol != "" {
		return symbol
	}
	if role := d.tasks[w]; role != "" {
		return "the task_struct of the " + role
	}
	for _, im := range d.stacks {
		if w >= im.Bottom && w < im.Top && im.Bottom < im.Top {
			return fmt.Sprintf("in the kernel stack of the %s, %d bytes below its top", im.Role, im.Top-w)
		}
	}
	return ""
}

// arg writes an argument by its type and its name.
func (d decoder) arg(a trace.Arg) (value, note string) {
	format := ""
	switch {
	case a.Name == "clone_flags":
		format = expr.FormatFlags
	case a.Name == "exit_signal" || a.Name == "sig":
		format = expr.FormatSignal
	case strings.HasSuffix(a.Type, "*"):
		format = expr.FormatAddress
	}
	n := int(a.Value)
	if a.Type == "int" || a.Type == "pid_t" {
		n = int(int32(n))
	}
	return expr.Format(n, format, func(trace.Word) string { return "" }), d.note(a.Value)
}

// register says what is in a register.
func (d decoder) register(name string, w trace.Word, s verdict.Step) string {
	switch {
	case name == d.arch.Registers.PC && w == s.Address && s.Symbol != "":
		return s.Symbol
	case name == d.arch.Registers.PC && len(s.Stack) > 0:
		return s.Stack[0]
	}
	return d.note(w)
}

// order returns the names of registers as the architecture orders them: the program
// counter and the stack pointer first.
func (d decoder) order(registers map[string]trace.Word) []string {
	known := append([]string{d.arch.Registers.PC, d.arch.Registers.SP}, d.arch.Registers.Record...)
	var out []string
	for _, name := range append(known, slices.Sorted(maps.Keys(registers))...) {
		if _, ok := registers[name]; ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
