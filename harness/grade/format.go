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
		names = append(names, signal(int(s)))
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

// signal names a signal by its number in include/uapi/asm-generic/signal.h,
// which x86_64 and riscv64 share; 0 is none.
func signal(n int) string {
	names := []string{"0",
		"SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
		"SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP",
		"SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
	}
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return "signal " + strconv.Itoa(n)
}
