package expr

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/trace"
	"kernellab/internal/nearest"
)

// The formats of a value that is shown to a person.
const (
	FormatAddress = "address"  // hexadecimal, and the symbol if there is one
	FormatBytes   = "bytes"    // a size
	FormatFlags   = "flags"    // flags of clone
	FormatSignal  = "signal"   // a signal's name
	FormatState   = "state"    // a task's state
	FormatExit    = "exitcode" // a task's exit_code: the exit status or the signal
)

// Formats returns the formats; "" is a plain number or text.
func Formats() []string {
	return []string{FormatAddress, FormatBytes, FormatExit, FormatFlags, FormatSignal, FormatState}
}

// UnknownFormat reports a word that is no format, with the nearest one.
func UnknownFormat(format string) error {
	if format == "" || slices.Contains(Formats(), format) {
		return nil
	}
	return fmt.Errorf("unknown format %q%s", format, nearest.Hint(format, Formats()))
}

// maxSmall is the largest number that is shown as a decimal: pids, sizes and
// statuses are below it, addresses above.
const maxSmall = 0xffff

// Format writes a value for a person. symbol returns the symbol at an address, ""
// for none.
func Format(val any, format string, symbol func(trace.Word) string) string {
	n, ok := val.(int)
	if !ok {
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
	case format == FormatExit:
		return trace.ExitCode(n)
	case format == FormatBytes && n == 1:
		return "1 byte"
	case format == FormatBytes && (small || n > 0):
		return strconv.Itoa(n) + " bytes"
	case format == FormatAddress || !small:
		s := hex(n)
		if symbol := symbol(trace.Word(n)); symbol != "" {
			s += " (" + symbol + ")"
		}
		return s
	}
	return strconv.Itoa(n)
}

// hex writes a number in hexadecimal; 0 is the same in every notation.
func hex(n int) string {
	if n == 0 {
		return "0"
	}
	return trace.Word(n).String()
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

// padded is hex, with at least as many digits as the second argument says.
func padded(args []any) (any, error) {
	n, ok := args[0].(int)
	if !ok {
		return nil, fmt.Errorf("%v is no whole number", args[0])
	}
	if len(args) == 1 {
		return hex(n), nil
	}
	const most = 16
	digits, ok := args[1].(int)
	if !ok || digits < 1 || digits > most {
		return nil, fmt.Errorf("%v is no number of digits from 1 to %d", args[1], most)
	}
	return fmt.Sprintf("0x%0*x", digits, uint64(n)), nil
}
