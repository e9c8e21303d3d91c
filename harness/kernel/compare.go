package kernel

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxDiffs bounds what CompareKallsyms lists.
const maxDiffs = 50

// CompareKallsyms compares the table with the text of /proc/kallsyms from the
// same kernel booted with nokaslr: every symbol, in order, by address, type and
// name. Symbols of modules and of what the kernel makes at run time, which end
// in a bracketed name, are passed over. It says how many agree and lists the
// first differences; the error is about reading r alone.
func (s *Symbols) CompareKallsyms(r io.Reader) (matched int, diffs []string, err error) {
	note := func(format string, args ...any) {
		if len(diffs) < maxDiffs {
			diffs = append(diffs, fmt.Sprintf(format, args...))
		}
	}
	lines := bufio.NewScanner(r)
	n := 0
	for line := 1; lines.Scan(); line++ {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || len(f) > 3 {
			continue
		}
		if len(f) < 3 || len(f[1]) != 1 {
			return matched, diffs, fmt.Errorf("kallsyms line %d: %q is not an address, a type and a name", line, lines.Text())
		}
		addr, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil {
			return matched, diffs, fmt.Errorf("kallsyms line %d: %w", line, err)
		}
		theirs := Symbol{Name: f[2], Addr: addr, Type: f[1][0]}
		if n >= s.Len() {
			note("line %d: the guest also has %c %s at %#x", line, theirs.Type, theirs.Name, theirs.Addr)
			n++
			continue
		}
		if ours := s.symbol(n); ours == theirs {
			matched++
		} else {
			note("line %d: the guest has %c %s at %#x, the image %c %s at %#x", line, theirs.Type, theirs.Name, theirs.Addr, ours.Type, ours.Name, ours.Addr)
		}
		n++
	}
	if err := lines.Err(); err != nil {
		return matched, diffs, fmt.Errorf("kallsyms: %w", err)
	}
	if n < s.Len() {
		note("the guest has %d symbols, the image %d", n, s.Len())
	}
	return matched, diffs, nil
}
