package harness_test

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kernellab/harness/kernel"
)

// compareKallsyms compares an image's symbols with the text of /proc/kallsyms of the
// same kernel booted with nokaslr: every symbol, in order, by address, type and name.
// It skips symbols of modules and those that the kernel makes at run time, which end
// in a name in brackets. It returns the number of equal symbols and the differences.
func compareKallsyms(image iter.Seq[kernel.Symbol], text []byte) (matched int, diffs []string, err error) {
	next, stop := iter.Pull(image)
	defer stop()
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 0 || len(f) > 3 {
			continue
		}
		if len(f) < 3 || len(f[1]) != 1 {
			return matched, diffs, fmt.Errorf("kallsyms: %q is not an address, a type and a name", line)
		}
		addr, err := strconv.ParseUint(f[0], 16, 64)
		if err != nil {
			return matched, diffs, fmt.Errorf("kallsyms: %w", err)
		}
		theirs := kernel.Symbol{Name: f[2], Addr: addr, Type: f[1][0]}
		if ours, ok := next(); ok && ours == theirs {
			matched++
		} else {
			diffs = append(diffs, fmt.Sprintf("the guest has %+v, the image %+v", theirs, ours))
		}
	}
	for ours, ok := next(); ok; ours, ok = next() {
		diffs = append(diffs, fmt.Sprintf("the guest lacks %+v", ours))
	}
	return matched, diffs, nil
}

func TestCompareKallsyms(t *testing.T) {
	image := []kernel.Symbol{{Name: "_text", Addr: 0x1000, Type: 'T'}, {Name: "f", Addr: 0x1010, Type: 't'}, {Name: "g", Addr: 0x1020, Type: 't'}}
	const two = "1000 T _text\n0000000000001010 t f\n"
	for name, c := range map[string]struct {
		text           string
		matched, diffs int
		wrong          bool
	}{
		"equal":          {two + "1020 t g\nc0000000 t in_a_module\t[mod]\n", 3, 0, false},
		"other address":  {two + "1021 t g\n", 2, 1, false},
		"other type":     {two + "1020 T g\n", 2, 1, false},
		"other name":     {two + "1020 t h\n", 2, 1, false},
		"one is missing": {two, 2, 1, false},
		"one too many":   {two + "1020 t g\n1030 t h\n", 3, 1, false},
		"not a symbol":   {"nonsense here\n", 0, 0, true},
		"not an address": {"xyz t f\n", 0, 0, true},
	} {
		matched, diffs, err := compareKallsyms(slices.Values(image), []byte(c.text))
		if matched != c.matched || len(diffs) != c.diffs || (err != nil) != c.wrong {
			t.Errorf("%s: matched %d, differences %q, error %v", name, matched, diffs, err)
		}
	}
}
