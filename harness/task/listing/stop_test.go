package listing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/trace"
)

func TestStop(t *testing.T) {
	var b strings.Builder
	words := make([]byte, 40)
	words[0], words[39] = 0x2a, 0xff
	for _, err := range []error{
		Header(&b, "arguments"),
		Values(&b, trace.Event{Args: []trace.Arg{{Name: "flags", Value: 17}}}),
		Registers(&b, map[string]uint64{"rip": 1, "rax": 2, "rbx": 3, "rcx": 4}),
		Memory(&b, 0x1000, words),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := `
arguments:
  flags                    0x11
  rax        0x0000000000000002    rbx        0x0000000000000003    rcx        0x0000000000000004
  rip        0x0000000000000001
  0x1000  000000000000002a 0000000000000000 0000000000000000 0000000000000000
  0x1020  ff00000000000000
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("listing (-want +got)\n%s", d)
	}
}
