package listing

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"kernellab/harness/trace"
)

// Header writes the title of a part.
func Header(w io.Writer, name string) error {
	_, err := fmt.Fprintf(w, "\n%s:\n", name)
	return err
}

// Values writes the arguments and the reads of an event.
func Values(w io.Writer, e trace.Event) error {
	var b strings.Builder
	for _, arg := range e.Args {
		fmt.Fprintf(&b, "  %-24s %s\n", arg.Name, arg.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Reads)) {
		fmt.Fprintf(&b, "  %-24s %s\n", name, e.Reads[name])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Registers writes registers, sorted by name.
func Registers(w io.Writer, regs map[string]uint64) error {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(regs)) {
		end := "  "
		if i%3 == 2 || i == len(regs)-1 {
			end = "\n"
		}
		fmt.Fprintf(&b, "  %-10s 0x%016x%s", name, regs[name], end)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Memory writes little-endian words of 8 bytes. addr is the address of the first.
func Memory(w io.Writer, addr uint64, words []byte) error {
	var b strings.Builder
	for i := 0; i+8 <= len(words); i += 8 {
		if i%32 == 0 {
			fmt.Fprintf(&b, "  %#x ", addr+uint64(i))
		}
		fmt.Fprintf(&b, " %016x", binary.LittleEndian.Uint64(words[i:]))
		if i%32 == 24 || i+16 > len(words) {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
