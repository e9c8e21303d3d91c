package grade

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"kernellab/harness/trace"
)

// maxSmall is the largest number that is shown as a decimal: pids, sizes and
// statuses are below it, addresses above.
const maxSmall = 0xffff

// format shows a value to a person.
func (v *view) format(val any, format string) string {
	n, ok := val.(int)
	if !ok {
		if s, ok := val.(string); ok {
			return clip(s, 200)
		}
		return fmt.Sprint(val)
	}
	small := n >= -maxSmall && n <= maxSmall
	switch {
	case format == FormatFlags:
		return flags(n)
	case format == FormatSignal:
		return trace.Signal(n)
	case format == FormatState:
		return bits(n, trace.TaskStates())
	case format == FormatBytes && n == 1:
		return "1 byte"
	case format == FormatBytes && (small || n > 0):
		return strconv.Itoa(n) + " bytes"
	case format == FormatAddress || !small:
		s := trace.Word(n).String()
		if symbol := v.symbol(trace.Word(n)); symbol != "" {
			s += " (" + symbol + ")"
		}
		return s
	}
	return strconv.Itoa(n)
}

// clip shortens s to n bytes at a rune's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// equal compares two values of expressions; numbers by value.
func equal(a, b any) bool {
	x, xok := a.(int)
	y, yok := b.(int)
	if xok && yok {
		return x == y
	}
	f, fok := float(a)
	g, gok := float(b)
	if fok && gok {
		return f == g && !math.IsNaN(f)
	}
	return a != nil && a == b
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// flags names the bits of clone's flags, the exit signal in the low byte last:
// "CLONE_VM|CLONE_VFORK|SIGCHLD".
func flags(n int) string {
	var names []string
	rest := uint64(n)
	for _, f := range trace.CloneFlags() {
		if rest&uint64(f.Bit) != 0 {
			names = append(names, f.Name)
			rest &^= uint64(f.Bit)
		}
	}
	if s := rest & 0xff; s != 0 {
		names = append(names, trace.Signal(int(s)))
		rest &^= 0xff
	}
	if rest != 0 {
		names = append(names, fmt.Sprintf("%#x", rest))
	}
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, "|")
}

// bits names the bits of n; the name of 0, if there is one, is that of no bits.
func bits(n int, all []trace.Flag) string {
	var names []string
	for _, f := range all {
		if f.Bit != 0 && n&f.Bit != 0 || f.Bit == n {
			names = append(names, f.Name)
			n &^= f.Bit
			if n == 0 {
				break
			}
		}
	}
	if n != 0 {
		names = append(names, fmt.Sprintf("%#x", n))
	}
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, "|")
}
