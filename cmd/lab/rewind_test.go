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
			"--rewind=1":         {"Back at stop 8 of 8, release_task"},
			"--rewind=5":         {"Back at stop 4 of 8, dup_task_struct", "copy_process+"},
			"--at=copy_thread":   {"Back at stop 5 of 8, copy_thread", "kernel_clone+", "comm           fork-new", "registers:", "memory at the stack pointer:"},
			"--at=ret_from_fork": {"Back at stop 7 of 8, ret_from_fork", "comm           fork-new"},
			"--rewind=9":         {"PASS", "--rewind 9: the run has 8 stops: give 1 to 8"},
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
