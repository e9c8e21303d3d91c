package report

import (
	"strings"
	"testing"

	"kernellab/harness/verdict"
)

// With verbose a backtrace is a function a line with its place in the source, of
// a run that knows them.
func TestVerboseBacktrace(t *testing.T) {
	step := verdict.Step{
		Point: "copy_process", Symbol: "copy_process", Source: "kernel/fork.c:2172",
		Stack: []string{"dup_task_struct (inlined)", "copy_process+0x1a4/0x2740", "user 0x40816e"}, Sources: []string{"kernel/fork.c:1130", "kernel/fork.c:2257", ""},
	}
	for verbose, want := range map[bool]string{
		false: "     dup_task_struct (inlined) ← copy_process+0x1a4/0x2740 ← user 0x40816e\n",
		true:  "       dup_task_struct (inlined)  kernel/fork.c:1130\n     ← copy_process+0x1a4/0x2740  kernel/fork.c:2257\n     ← user 0x40816e\n",
	} {
		var b strings.Builder
		p := newPage(&b, Style{})
		p.verbose = verbose
		p.backtrace(step)
		if b.String() != want {
			t.Errorf("verbose %t:\n%s\nwant:\n%s", verbose, b.String(), want)
		}
		b.Reset()
		if p.step(1, step); !strings.Contains(b.String(), "copy_process  kernel/fork.c:2172") {
			t.Errorf("the point's place is not told: %s", b.String())
		}
	}
}
