package report

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/verdict"
)

// With verbose a backtrace has a function a line with its place in the source, if the
// run knows them. The callers of the step before are counted.
func TestBacktrace(t *testing.T) {
	before := verdict.Step{Point: "sys_clone", Stack: []string{"sys_clone+0x0/0x10", "entry+0x6e/0xd8", "user 0x40816e"}}
	step := verdict.Step{
		Point: "copy_process", Symbol: "copy_process", Source: "kernel/fork.c:2172",
		Stack:   []string{"dup_task_struct (inlined)", "copy_process+0x1a4/0x2740", "entry+0x6e/0xd8", "user 0x40816e"},
		Sources: []string{"kernel/fork.c:1130", "kernel/fork.c:2257", "", ""},
	}
	for _, c := range []struct {
		verbose bool
		before  verdict.Step
		want    string
	}{
		{false, verdict.Step{}, "     dup_task_struct (inlined) ← copy_process+0x1a4/0x2740 ← entry+0x6e/0xd8 ←\n     user 0x40816e\n"},
		{false, before, "     dup_task_struct (inlined) ← copy_process+0x1a4/0x2740 ← (2 more, as at\n     sys_clone)\n"},
		{true, before, "       dup_task_struct (inlined)  kernel/fork.c:1130\n     ← copy_process+0x1a4/0x2740  kernel/fork.c:2257\n     ← (2 more, as at sys_clone)\n"},
		{false, step, "     dup_task_struct (inlined) ← (3 more, as at copy_process)\n"},
	} {
		var b strings.Builder
		p := newPage(&b, Style{Verbose: c.verbose})
		p.backtrace(step, c.before)
		if d := cmp.Diff(c.want, b.String()); d != "" {
			t.Errorf("verbose %t (-want +got):\n%s", c.verbose, d)
		}
	}
	var b strings.Builder
	newPage(&b, Style{}).detail(1, step, map[string]bool{})
	if !strings.Contains(b.String(), "kernel/fork.c:2172") {
		t.Errorf("the point's place is not told: %s", b.String())
	}
}

// Only the steps that were asked for are shown in detail, and a backtrace leaves out
// only what has been shown.
func TestDetailed(t *testing.T) {
	steps := []verdict.Step{
		{Point: "sys_clone", PID: 7, Means: "The call.", Stack: []string{"sys_clone+0x0/0x1", "entry+0x1/0x2"}},
		{Point: "copy_process", PID: 7, Means: "The copy.", Stack: []string{"copy_process+0x0/0x1", "entry+0x1/0x2"}, Values: []verdict.Value{{Name: "pid", Text: "7"}}},
		{Point: "ret_from_fork", PID: 8, Means: "The child.", Stack: []string{"entry+0x1/0x2"}},
		{Point: "release_task", PID: 7, Evidence: true, Means: "The end.", Stack: []string{"release_task+0x0/0x1", "entry+0x1/0x2"}},
	}
	shown := func(s Style) string {
		var b strings.Builder
		newPage(&b, s).details("x86_64", steps)
		return b.String()
	}
	if got := shown(Style{}); got != "" {
		t.Errorf("nothing was asked for: %s", got)
	}
	want := `  2  copy_process  7[]
     The copy.
       pid  7
     copy_process+0x0/0x1 ← entry+0x1/0x2

  ·  release_task  7[]
     The end.
     release_task+0x0/0x1 ← (1 more, as at copy_process)
`
	if d := cmp.Diff(want, shown(Style{Steps: []string{"copy_process", "release_task"}})); d != "" {
		t.Errorf("two steps (-want +got):\n%s", d)
	}
	for _, s := range steps {
		if !strings.Contains(shown(Style{Verbose: true}), s.Means) {
			t.Errorf("-v does not show %s", s.Point)
		}
	}
}
