package main

import (
	"strings"
	"testing"

	"kernellab/harness/arch"
)

// Going back stops at the stop that was asked for, with everything readable.
func TestRewind(t *testing.T) {
	onCache(t, func(t *testing.T, a arch.Arch, cache string) {
		for flag, want := range map[string][]string{
			"--rewind=1":         {"Back at stop 10 of 10, release_task"},
			"--rewind=7":         {"Back at stop 4 of 10, dup_task_struct", "copy_process+"},
			"--at=copy_thread":   {"Back at stop 5 of 10, copy_thread", "kernel_clone+", "comm           fork-new", "registers:", "memory at the stack pointer:"},
			"--at=ret_from_fork": {"Back at stop 9 of 10, ret_from_fork", "comm           fork-new"},
			"--rewind=11":        {"PASS", "--rewind 11: the run has 10 stops: give 1 to 10"},
			"--rewind=-1":        {"--rewind -1: want a number from 1"},
			"--at=copy_thred":    {"did you mean copy_thread"},
		} {
			said, _ := labCommand(t, cache, "run", "fork-new", "--arch", a.Name, flag).CombinedOutput()
			for _, w := range want {
				if !strings.Contains(string(said), w) {
					t.Errorf("lab run fork-new %s does not say %q:\n%s", flag, w, said)
				}
			}
		}
	})
}
