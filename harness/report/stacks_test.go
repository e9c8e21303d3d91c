package report_test

import (
	"bytes"
	"strings"
	"testing"

	"kernellab/harness/report"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
)

// stacks are a parent's and a child's at the child's first instruction, cut down
// to a few registers.
func stacks() []trace.StackImage {
	slots := func(base trace.Word, names string, values ...trace.Word) []trace.Slot {
		var out []trace.Slot
		for i, name := range strings.Fields(names) {
			out = append(out, trace.Slot{Name: name, Address: base + trace.Word(8*i), Value: values[i]})
		}
		return out
	}
	image := func(role string, pid int, bottom, sp, threadSP, ax, ret trace.Word) trace.StackImage {
		top := bottom + 0x4000
		return trace.StackImage{
			Task: trace.Task{PID: pid, TGID: pid, Comm: "fork-new"}, Role: role,
			Bottom: bottom, Top: top, SP: sp, ThreadSP: threadSP, Magic: 0x57ac6e9d,
			User:   slots(top-0x18, "ax ip sp", ax, 0x40816e, 0x7ffc0000),
			Switch: append(slots(0xffff888003a28000, "thread.sp", threadSP), slots(threadSP, "bp ret_addr", 0, ret)...),
		}
	}
	return []trace.StackImage{
		image("parent", 83, 0xffffc90000200000, 0xffffc90000203b78, 0xffffc90000203b78, 0xffffffffffffffda, 0xffffffff81a10e3d),
		image("child", 84, 0xffffc90000210000, 0xffffc90000213fe8, 0xffffc90000213fd8, 0, 0xffffffff81003000),
	}
}

// A picture shows the registers that differ and counts the others. The parent's are
// those at the step that recorded them before.
func TestStacks(t *testing.T) {
	child := verdict.Step{
		Point: "ret_from_fork", Symbol: "ret_from_fork", Address: 0xffffffff81003000, PID: 84, Comm: "fork-new", Role: "child",
		Stack: []string{"ret_from_fork+0x0/0x30", "user 0x40816e"}, Stacks: stacks(),
	}
	child.Stacks[0].User[1].Value = 0x40fff0 // the parent has gone on
	copied := verdict.Step{Point: "copy_thread", Stacks: stacks()[:1]}
	show := func(steps ...verdict.Step) string {
		var b bytes.Buffer
		doc := verdict.NewDocument(verdict.Result{Lab: "fork-new", Arch: "x86_64", Verdict: verdict.Pass, Steps: steps})
		if err := report.Text(&b, doc, report.Style{Width: 90, Steps: []string{"ret_from_fork"}}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 90 {
				t.Errorf("a line of %d columns: %s", n, line)
			}
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	text := show(copied, child)
	for _, want := range []string{
		"ret_from_fork+0x0/0x30 ← user 0x40816e",
		"parent 83[fork-new] child 84[fork-new]",
		"stack top 0xffffc90000204000 0xffffc90000214000",
		"the parent's at copy_thread", "≠ ax -ENOSYS 0 ← what fork returns = 2 equal",
		"below them 1136 bytes nothing",
		"≠ ret_addr 0xffffffff81a10e3d 0xffffffff81003000 ← where it resumes = 1 equal",
		"thread.sp 0xffffc90000203b78 0xffffc90000213fd8",
		"word there STACK_END_MAGIC STACK_END_MAGIC",
		"rose by 16 bytes to 0xffffc90000213fe8", "The 24 bytes from there", "nothing else. They are equal to the parent's at copy_thread but for ax. The 0 in ax is what fork returns",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	// Without the parent's registers at the copy, nothing is said of them.
	if text := show(child); !strings.Contains(text, "≠ ip 0x40fff0 0x40816e") || strings.Contains(text, "equal to the parent's") {
		t.Errorf("the parent's registers were not recorded: %s", text)
	}
}

// A stack that is cut short or empty is drawn as far as it goes.
func TestStacksDamaged(t *testing.T) {
	for name, damage := range map[string]func(im *trace.StackImage){
		"nothing":   func(im *trace.StackImage) { *im = trace.StackImage{} },
		"no switch": func(im *trace.StackImage) { im.Switch = nil },
		"one slot":  func(im *trace.StackImage) { im.Switch = im.Switch[:1] },
		"no user":   func(im *trace.StackImage) { im.User, im.Unread = nil, map[string]string{"user registers": "E14"} },
		"beyond":    func(im *trace.StackImage) { im.SP = ^trace.Word(0) },
	} {
		for which := range 2 {
			s := verdict.Step{Point: "p", Stacks: stacks()}
			damage(&s.Stacks[which])
			var b bytes.Buffer
			if err := report.Text(&b, verdict.NewDocument(verdict.Result{Arch: "x86_64", Steps: []verdict.Step{s}}), report.Style{Verbose: true}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
