package main

import (
	"encoding/json"
	"strings"
	"testing"

	"kernellab/harness/arch"
	"kernellab/harness/whatif"
)

// A variation is run beside the lab as it is, on both architectures: a parent that
// ignores SIGCHLD leaves no zombie, as the kernel shows.
func TestWhatIf(t *testing.T) {
	onCache(t, func(t *testing.T, a arch.Arch, cache string) {
		cmd := labCommand(t, cache, "run", "wait-zombie", "--what-if", "ignore-sigchld", "--arch", a.Name, "--format", "json")
		out, err := cmd.Output() // a failure would be another exit code than 0
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var doc struct {
			Schema  string
			Results []whatif.Comparison
		}
		if err := json.Unmarshal(out, &doc); err != nil || doc.Schema != "lab.whatif/1" || len(doc.Results) != 1 {
			t.Fatalf("%v\n%s", err, out)
		}
		c := doc.Results[0]
		if c.Arch != a.Name || c.Plain != "pass" || c.Varied != "fail" {
			t.Errorf("%s: %s, %s", c.Arch, c.Plain, c.Varied)
		}
		var all []string
		for _, d := range c.Differences {
			all = append(all, strings.Join([]string{d.Kind, d.Point, d.What, d.Plain, d.Varied}, ","))
		}
		for _, want := range []string{
			"point,first_released,,1 stop,in the task first", // the child releases itself
			"point,second_released,,1 stop,no stop",          // and process 1 finds nothing to release
			"value,sys_wait4,the first child's exit_state,EXIT_ZOMBIE,EXIT_DEAD",
			"check,,the first child's state before the wait,pass,fail",
			"output,,,Its state before the wait: Z,", "output,,,,Its state before the wait: none",
		} {
			if !strings.Contains(strings.Join(all, "\n"), want) {
				t.Errorf("no difference %q in\n%s", want, strings.Join(all, "\n"))
			}
		}
	})
}
