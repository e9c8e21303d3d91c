package expr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"kernellab/harness/trace"
)

// function is a function of the language.
type function struct {
	least, most int // arguments; most 0 is without limit
	// do computes it; nil is a function of some environments.
	do    func(args []any) (any, error)
	gives Unknown
	// texts says that its arguments are texts, and not numbers.
	texts bool
	// literal is which argument, counted from 1, is written out as a text, and what
	// that text is the name of, with an example.
	literal map[int]string
}

// takes reports arguments that a function does not take.
func (f function) takes(name string, args []ast.Node) error {
	if n := len(args); n < f.least || f.most > 0 && n > f.most {
		want := strconv.Itoa(f.least)
		if f.most > f.least {
			want += " or " + strconv.Itoa(f.most)
		}
		return fmt.Errorf("%s takes %s, not %d", name, plural(want, "argument"), n)
	}
	for i := range args {
		what, ok := f.literal[i+1]
		if _, text := args[i].(*ast.StringNode); ok && !text {
			return fmt.Errorf("%s takes the name of a %s", name, what)
		}
	}
	return nil
}

func plural(n, what string) string {
	if n == "1" {
		return "one " + what
	}
	return n + " " + what + "s"
}

// functions are the functions by name.
var functions = map[string]function{
	"flags":     named(flags),
	"signal":    named(trace.Signal),
	"state":     named(func(n int) string { return bits(n, trace.TaskStates()) }),
	"taskflags": named(func(n int) string { return bits(n, trace.TaskFlags()) }),
	"exitcode":  named(trace.ExitCode),
	"hex":       {least: 1, most: 2, do: padded, gives: Text},
	"text":      named(strconv.Itoa),

	"bitand":  whole(2, func(a, b int) (int, error) { return a & b, nil }),
	"bitor":   whole(2, func(a, b int) (int, error) { return a | b, nil }),
	"bitxor":  whole(2, func(a, b int) (int, error) { return a ^ b, nil }),
	"bitnand": whole(2, func(a, b int) (int, error) { return a &^ b, nil }),
	"bitnot":  whole(1, func(a, _ int) (int, error) { return ^a, nil }),
	"bitshl":  whole(2, shift(func(a, n uint64) uint64 { return a << n })),
	"bitshr":  whole(2, shift(func(a, n uint64) uint64 { return a >> n })),
	"bitushr": whole(2, shift(func(a, n uint64) uint64 { return a >> n })),
	"abs": {least: 1, most: 1, do: func(args []any) (any, error) {
		if f, ok := args[0].(float64); ok {
			return math.Abs(f), nil
		}
		n := args[0].(int)
		return max(n, -n), nil
	}, gives: Number},
	"min": {least: 1, do: func(args []any) (any, error) { return slices.MinFunc(args, compare), nil }, gives: Number},
	"max": {least: 1, do: func(args []any) (any, error) { return slices.MaxFunc(args, compare), nil }, gives: Number},

	"common":  lists(func(a, b []string) []string { return keep(a, b, true) }),
	"without": lists(func(a, b []string) []string { return keep(a, b, false) }),
	"count":   {least: 1, most: 1, do: func(args []any) (any, error) { return len(strings.Fields(args[0].(string))), nil }, gives: Number, texts: true},

	"hits":  {least: 1, most: 1, literal: map[int]string{1: point}},
	"calls": {least: 1, most: 2, literal: map[int]string{1: `function, as in calls("get_signal")`, 2: point}},

	"traced":  {least: 1, most: 1, literal: map[int]string{1: `function, as in traced("kernel_clone")`}},
	"enabled": {least: 1, most: 1, literal: map[int]string{1: `event, as in enabled("sched_switch")`}},
	"option":  {least: 1, most: 1, literal: map[int]string{1: `trace option, as in option("sym-offset")`}},
	"agrees":  {least: 1, most: 1, literal: map[int]string{1: point}},
	"events":  {least: 2, most: 3, literal: map[int]string{1: `event, as in events("sched_process_exit", child.pid)`, 3: "word of an event, as in events(\"signal_generate\", child.pid, \"sig=17\")"}},

	"u8": memory, "u16": memory, "u32": memory, "u64": memory, "str": memory, "symbol": memory,
	"differs": {least: 2, most: 2},
	"pte":     {least: 2, most: 2},
	"as":      {least: 2, most: 2, literal: map[int]string{2: `structure, as in as(A, "task_struct")`}},
}

const point = `point, as in hits("sys_clone")`

// memory is a function of an address.
var memory = function{least: 1, most: 1}

// named is a function that gives text for a number.
func named(name func(int) string) function {
	return function{least: 1, most: 1, do: func(args []any) (any, error) {
		n, ok := args[0].(int)
		if !ok {
			return nil, fmt.Errorf("%v is no whole number", args[0])
		}
		return name(n), nil
	}, gives: Text}
}

// whole is a function of whole numbers.
func whole(takes int, do func(a, b int) (int, error)) function {
	return function{least: takes, most: takes, do: func(args []any) (any, error) {
		var n [2]int
		for i, v := range args {
			var ok bool
			if n[i], ok = v.(int); !ok {
				return nil, fmt.Errorf("%v is no whole number", v)
			}
		}
		return do(n[0], n[1])
	}, gives: Number}
}

// lists is a function of two lists of names, which gives a list.
func lists(do func(a, b []string) []string) function {
	return function{least: 2, most: 2, do: func(args []any) (any, error) {
		return strings.Join(do(strings.Fields(args[0].(string)), strings.Fields(args[1].(string))), " "), nil
	}, gives: Text, texts: true}
}

// keep returns the names of a that b has, or those that it lacks.
func keep(a, b []string, has bool) []string {
	return slices.DeleteFunc(a, func(name string) bool { return slices.Contains(b, name) != has })
}

func shift(by func(a, n uint64) uint64) func(a, n int) (int, error) {
	return func(a, n int) (int, error) {
		if n < 0 {
			return 0, fmt.Errorf("a shift by %d bits", n)
		}
		return int(by(uint64(a), uint64(n))), nil
	}
}

// compare orders two numbers.
func compare(a, b any) int {
	x, xok := a.(int)
	y, yok := b.(int)
	switch f, g := Float(a), Float(b); {
	case xok && yok && x < y, !(xok && yok) && f < g:
		return -1
	case xok && yok && x > y, !(xok && yok) && f > g:
		return 1
	}
	return 0
}

// Float returns a number as a float64, and NaN for what is no number.
func Float(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// Equal compares two values; numbers of different types by value. NaN equals nothing.
func Equal(a, b any) bool {
	_, aok := a.(float64)
	_, bok := b.(float64)
	if aok || bok {
		return Float(a) == Float(b)
	}
	return a != nil && a == b
}

func unary(operator string, v any) (any, error) {
	want := Number
	if operator == "not" || operator == "!" {
		want = Truth
	}
	if k := kind(v); k != want && k != Any {
		return nil, fmt.Errorf("%s of a %s", operator, k)
	}
	switch v := v.(type) {
	case bool:
		return !v, nil
	case int:
		if operator == "-" {
			return -v, nil
		}
	case float64:
		if operator == "-" {
			return -v, nil
		}
	case Unknown:
		return want, nil
	}
	return v, nil
}

// logical has the operators of which the left side alone decides, and when.
var logical = map[string]any{"and": false, "&&": false, "or": true, "||": true}

// operate computes an operator of two values that are no objects.
func operate(operator string, a, b any) (any, error) {
	_, aUnknown := a.(Unknown)
	_, bUnknown := b.(Unknown)
	unknown := aUnknown || bUnknown
	if operator == "==" || operator == "!=" {
		if unknown {
			return Truth, nil
		}
		return Equal(a, b) == (operator == "=="), nil
	}
	operands, gives := signature(operator, a, b)
	for _, v := range []any{a, b} {
		if k := kind(v); k != Any && operands != Any && k != operands {
			return nil, fmt.Errorf("%s takes two %ss, not a %s", operator, operands, k)
		}
	}
	if unknown {
		return gives, nil
	}
	switch x := a.(type) {
	case bool:
		return b, nil // the left side did not decide
	case string:
		return texts(operator, x, b.(string)), nil
	}
	return numbers(operator, a, b)
}

// signature returns what an operator takes two of, and what it gives.
func signature(operator string, a, b any) (operands, gives Unknown) {
	like := kind(a) // + and the orders take texts as well as numbers
	if like == Any {
		like = kind(b)
	}
	if like == Truth {
		like = Number
	}
	switch operator {
	case "and", "&&", "or", "||":
		return Truth, Truth
	case "contains", "startsWith", "endsWith":
		return Text, Truth
	case "+":
		return like, like
	case "<", ">", "<=", ">=":
		return like, Truth
	}
	return Number, Number
}

func texts(operator, a, b string) any {
	switch operator {
	case "+":
		return a + b
	case "contains":
		return strings.Contains(a, b)
	case "startsWith":
		return strings.HasPrefix(a, b)
	case "endsWith":
		return strings.HasSuffix(a, b)
	}
	return ordered(operator, strings.Compare(a, b))
}

func numbers(operator string, a, b any) (any, error) {
	x, xok := a.(int)
	y, yok := b.(int)
	f, g, integers := Float(a), Float(b), xok && yok
	switch operator {
	case "+":
		if integers {
			return x + y, nil
		}
		return f + g, nil
	case "-":
		if integers {
			return x - y, nil
		}
		return f - g, nil
	case "*":
		if integers {
			return x * y, nil
		}
		return f * g, nil
	case "/":
		return f / g, nil
	case "%":
		switch {
		case !integers:
			return nil, errors.New("% is of whole numbers")
		case y == 0:
			return nil, errors.New("division by zero")
		}
		return x % y, nil
	}
	if math.IsNaN(f) || math.IsNaN(g) {
		return false, nil
	}
	return ordered(operator, compare(a, b)), nil
}

// ordered tells an order by the sign of a comparison.
func ordered(operator string, sign int) bool {
	switch operator {
	case "<":
		return sign < 0
	case ">":
		return sign > 0
	case "<=":
		return sign <= 0
	}
	return sign >= 0
}
