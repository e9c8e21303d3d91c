package harness_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"kernellab/harness"
	"kernellab/harness/arch"
	"kernellab/harness/machine"
	"kernellab/images/linux"
	"kernellab/labs"
)

// crash writes to the file that it was opened, which makes the kernel panic.
const crash = `package main

import "os"

func main() {
	os.NewFile(3, "trigger").WriteString("c")
	select {}
}
`

// A kernel that dies of something else than its lab expects is the machine's failure,
// though the program is the first process and the kernel panics; it is the lab's where
// the lab expects it.
func TestDeaths(t *testing.T) {
	oneArch(t, func(t *testing.T, a arch.Arch, k linux.Kernel) {
		l, err := labs.Get("init-panic")
		if err != nil {
			t.Fatal(err)
		}
		j := jobOf(t, a, k, l, fstest.MapFS{"main.go": {Data: []byte(crash)}})
		j.Plan.Open = []string{"/proc/sysrq-trigger"}
		if out, err := harness.Run(t.Context(), j); !machine.Died(err) {
			t.Errorf("%v, %v, want a kernel that panicked", out, err)
		}
		const message = "sysrq triggered crash"
		j.Plan.Panic, j.Rules.Panic = message, message
		out := run(t, j)
		exit := out.Trace.Events[len(out.Trace.Events)-2].Exit
		if exit == nil || !strings.HasPrefix(exit.Panic, message) || exit.Output != "Kernel panic - not syncing: "+exit.Panic+"\n" {
			t.Errorf("the run ended with %+v, want %q", exit, message)
		}
		for _, c := range out.Result.Checks {
			if c.Name == "the program ends as it should" && c.Verdict != "pass" {
				t.Errorf("%+v", c)
			}
		}
	})
}
