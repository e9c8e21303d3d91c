package calls

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kernellab/harness/blocks"
	"kernellab/harness/kernel"
	"kernellab/harness/trace"
	"kernellab/internal/schematest"
)

const base = 0xffffffff81000000

// symbols has a function of 0x100 bytes for each name, in their order.
type symbols []string

func (s symbols) at(name string) uint64 {
	for i, n := range s {
		if n == name {
			return base + uint64(i)*0x100
		}
	}
	panic(name)
}

func (s symbols) At(addr uint64) (kernel.Symbol, uint64, bool) {
	i := (addr - base) / 0x100
	if addr < base || i >= uint64(len(s)) {
		return kernel.Symbol{}, 0, false
	}
	return kernel.Symbol{Name: s[i], Addr: base + i*0x100}, addr % 0x100, true
}

// script makes blocks of lines: "FUNCTION+N KIND FUNCTION+N", where the block is and
// where it goes on, with " by device", " by fault" for an interrupt, or " user" for one of
// a program, whose function is a number. Each block has two instructions of four bytes.
func script(t *testing.T, s symbols, lines string) *Tracer {
	t.Helper()
	kinds := map[string]blocks.Kind{"goes": blocks.Plain, "jumps": blocks.Jump, "calls": blocks.Call, "calls*": blocks.CallTo, "jumps*": blocks.JumpTo, "returns": blocks.Return, "traps": blocks.Trap, "ends": blocks.TrapEnd, "branches": blocks.Branch}
	addr := func(word string) uint64 {
		var off uint64
		name, rest, _ := strings.Cut(word, "+")
		fmt.Sscanf(rest, "%x", &off)
		if name == "user" {
			return 0x1000 + off
		}
		return s.at(name) + off
	}
	tr := &Tracer{At: s.At}
	begun := false
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		w := strings.Fields(line)
		if w[0] == "stop" { // stop POINT PID ADDRESS [CALLERS…]
			stop := Stop{Point: w[1], PC: addr(w[3]), Comm: "prog"}
			fmt.Sscan(w[2], &stop.PID)
			for _, at := range w[3:] {
				stop.Stack = append(stop.Stack, trace.Frame{PC: trace.Word(addr(at)), Trusted: true})
			}
			if begun {
				tr.Stop(stop)
			} else {
				tr.Begin(stop)
			}
			begun = true
			continue
		}
		pc := addr(w[0])
		b := blocks.Block{PC: pc, N: 2, Code: &blocks.Code{At: []uint64{pc, pc + 4}, End: pc + 8, Kind: kinds[w[1]]}, Next: addr(w[2])}
		b.Code.Target = b.Next
		if strings.HasPrefix(w[0], "user") {
			b.Mode = blocks.User
		}
		if len(w) > 4 {
			b.Interrupt = &blocks.Interrupt{Device: w[4] == "device"}
		}
		if err := tr.Block(b); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// shape writes a tree a line a node.
func shape(t *Tree) string {
	var b strings.Builder
	last := ""
	t.Walk(func(task Task, above []*Node, n *Node) {
		if task.Name() != last {
			last = task.Name()
			fmt.Fprintf(&b, "%s %d\n", last, task.Total)
		}
		fmt.Fprintf(&b, "%s%s %s %d/%d x%d", strings.Repeat(" ", len(above)+1), n.Kind, n.Function, n.Own, n.Total, n.Times)
		if len(n.Points) > 0 {
			fmt.Fprintf(&b, " %v", n.Points)
		}
		if n.Unsure {
			b.WriteString(" ?")
		}
		b.WriteString("\n")
	})
	return b.String()
}

var funcs = symbols{"sys", "f", "g", "g.cold", "h", "__x86_indirect_thunk_rax", "__x86_return_thunk", "__SCT__h", "irq", "handler", "ret_from_exception", "schedule", "__schedule", "__switch_to_asm", "__switch_to", "ret_from_fork", "kthread", "fault"}

func TestTracer(t *testing.T) {
	for name, tt := range map[string]struct{ blocks, want string }{
		"calls, and what was entered before": {`
stop first 7 sys+0 f+40
sys+0 calls g+0
g+0 returns sys+8
sys+8 calls g+0
g+0 goes g+8
g+8 returns sys+10
sys+10 returns f+40
stop last 7 f+40
f+40 goes f+48`, `7 prog 14
 call sys 6/12 x1 [first]
  call g 6/6 x2
 before f 2/2 x0 [last]
`},
		"tail calls, cold parts and jumps back": {`
stop first 7 sys+0
sys+0 calls f+0
f+0 jumps g+0
g+0 branches g.cold+0
g.cold+0 jumps g+20
g+20 jumps* h+0
h+0 jumps g+30
g+30 returns sys+8
sys+8 goes sys+10`, `7 prog 16
 call sys 4/16 x1 [first]
  call f 2/12 x1
   tail call g 8/10 x1
    tail call h 2/2 x1
`},
		"thunks": {`
stop first 7 sys+0
sys+0 calls __x86_indirect_thunk_rax+0
__x86_indirect_thunk_rax+0 jumps* h+0
h+0 jumps __x86_return_thunk+0
__x86_return_thunk+0 returns sys+8
sys+8 calls __x86_indirect_thunk_rax+0
__x86_indirect_thunk_rax+0 calls __x86_indirect_thunk_rax+20
__x86_indirect_thunk_rax+20 returns h+0
h+0 returns sys+10
sys+10 calls __SCT__h+0
__SCT__h+0 jumps h+0
h+0 returns sys+18
sys+18 goes sys+20`, `7 prog 24
 call sys 8/24 x1 [first]
  call __x86_indirect_thunk_rax 6/6 x2
  call h 8/8 x3
  call __SCT__h 2/2 x1
`},
		"an interrupt, and riscv64's way back": {`
stop first 7 sys+0
sys+0 calls f+0 by device
irq+0 jumps* handler+0
handler+0 returns ret_from_exception+0
ret_from_exception+0 ends f+0
f+0 goes f+4 by fault
fault+0 ends f+4
f+4 returns sys+8
sys+8 goes sys+10`, `7 prog 16
 call sys 4/16 x1 [first]
  call f 4/12 x1
   interrupt irq 2/6 x1
    tail call handler 2/2 x1
    tail call ret_from_exception 2/2 x1
   exception fault 2/2 x1
`},
		"a program": {`
stop first 7 sys+0
sys+0 ends user+0
user+0 goes user+8
user+8 traps user+10 by fault
sys+0 calls f+0
f+0 returns sys+8
sys+8 ends user+10
user+10 goes user+18 by device
irq+0 ends user+18
user+18 goes user+20`, `7 prog 18
 call sys 2/2 x1 [first]
 program the program 8/8 x3
 system call sys 4/6 x1
  call f 2/2 x1
 interrupt irq 2/2 x1
`},
		"other tasks": {`
stop first 7 sys+0
sys+0 calls schedule+0
schedule+0 calls __schedule+0
__schedule+0 calls __switch_to_asm+0
__switch_to_asm+0 jumps __switch_to+0
__switch_to+0 returns ret_from_fork+0
ret_from_fork+0 calls kthread+0
kthread+0 calls schedule+0
schedule+0 calls __schedule+0
__schedule+0 calls __switch_to_asm+0
__switch_to_asm+0 jumps __switch_to+0
__switch_to+0 returns __schedule+8
__schedule+8 returns schedule+8
schedule+8 returns h+20
h+20 calls __switch_to_asm+0
__switch_to_asm+0 jumps __switch_to+0
__switch_to+0 returns __schedule+8
__schedule+8 returns schedule+8
schedule+8 returns sys+8
sys+8 calls f+0
stop last 7 f+0
f+0 returns sys+10
sys+10 goes sys+18`, `7 prog 20
 call sys 6/20 x1 [first]
  call schedule 4/12 x1
   call __schedule 4/8 x1
    call __switch_to_asm 2/4 x1
     tail call __switch_to 2/2 x1
  call f 2/2 x1 [last]
a new task 12
 call ret_from_fork 2/12 x1
  call kthread 2/10 x1
   call schedule 2/8 x1
    call __schedule 2/6 x1
     call __switch_to_asm 2/4 x1
      tail call __switch_to 2/2 x1
other tasks 10
 before __schedule 2/2 x0
 before schedule 2/2 x0
 before h 2/6 x0
  call __switch_to_asm 2/4 x1
   tail call __switch_to 2/2 x1
`},
		"a task that was preempted": {`
stop first 7 sys+0
sys+0 calls f+0
f+0 goes f+8 by device
irq+0 calls schedule+0
schedule+0 calls __schedule+0
__schedule+0 calls __switch_to+0
__switch_to+0 returns ret_from_fork+0
ret_from_fork+0 calls kthread+0
kthread+0 calls __switch_to+0
__switch_to+0 returns __schedule+8
__schedule+8 returns schedule+8
schedule+8 returns ret_from_exception+0
ret_from_exception+0 ends f+8
f+8 calls g+0
stop last 7 g+0
g+0 returns f+10
f+10 returns sys+8
sys+8 goes sys+10`, `7 prog 26
 call sys 4/26 x1 [first]
  call f 6/22 x1
   interrupt irq 2/14 x1
    call schedule 4/10 x1
     call __schedule 4/6 x1
      call __switch_to 2/2 x1
    tail call ret_from_exception 2/2 x0
   call g 2/2 x1 [last]
a new task 6
 call ret_from_fork 2/6 x1
  call kthread 2/4 x1
   call __switch_to 2/2 x1
`},
		"a task that ran in between": {`
stop first 7 sys+0
sys+0 calls f+0
f+0 goes f+8 by device
irq+0 calls schedule+0
schedule+0 calls __switch_to+0
__switch_to+0 returns schedule+8
schedule+8 returns ret_from_exception+0
ret_from_exception+0 ends f+8
f+8 returns sys+8
sys+8 calls g+0
g+0 goes g+8 by device
irq+0 calls schedule+0
schedule+0 calls __switch_to+0
__switch_to+0 returns schedule+8
schedule+8 returns ret_from_exception+0
ret_from_exception+0 ends g+8
g+8 returns sys+8
sys+8 calls h+0
stop last 7 h+0
h+0 goes h+8`, `7 prog 20
 call sys 4/20 x1 [first]
  call f 2/14 x1
   interrupt irq 2/12 x1
    call schedule 4/6 x1
     call __switch_to 2/2 x1
    tail call ret_from_exception 2/2 x0
    tail call g 2/2 x0 ?
  call h 2/2 x1 [last]
other tasks 16
 before schedule 2/2 x0
 before ret_from_exception 2/2 x0
 before f 2/2 x0
 before sys 2/10 x0
  call g 2/8 x1
   interrupt irq 2/6 x1
    call schedule 2/4 x1
     call __switch_to 2/2 x1
`},
		"a return that cannot be told": {`
stop first 7 sys+0
sys+0 goes sys+8 by device
irq+0 calls f+0
f+0 returns h+20
h+20 ends sys+8
sys+8 goes sys+10`, `7 prog 10
 call sys 4/10 x1 [first]
  interrupt irq 2/6 x1
   call f 2/2 x1
   before h 2/2 x0 ?
`},
	} {
		tr := script(t, funcs, tt.blocks)
		tree := tr.Tree()
		if diff := cmp.Diff(tt.want, shape(tree)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if (tree.Unsure > 0) != strings.Contains(tt.want, "?") {
			t.Errorf("%s: %d transfers could not be told", name, tree.Unsure)
		}
		sum := uint64(0)
		for _, task := range tree.Tasks {
			sum += task.Total
		}
		if sum != tree.Ran {
			t.Errorf("%s: the tree has %d instructions of %d", name, sum, tree.Ran)
		}
	}
}

// example is a tree with a bit of everything.
func example(t *testing.T) *Tree {
	tree := script(t, funcs, `
stop first 7 sys+0 f+40
sys+0 calls g+0
g+0 jumps* h+0
stop second 7 h+0
h+0 calls f+0
f+0 goes f+8 by device
irq+0 returns schedule+20
schedule+20 ends f+8
f+8 returns h+8
h+8 returns sys+8
sys+8 returns f+40
f+40 ends user+0
user+0 goes user+8`).Tree()
	tree.Lab, tree.Arch, tree.Kernel, tree.From, tree.To = "fork-new", "x86_64", "6.1.0", "first", "second"
	return tree
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		cut  Cut
		want string
	}{
		{Cut{Depth: 2}, `fork-new on x86_64, Linux 6.1.0
From the stop at first to the stop at second: 22 instructions, 6 functions, 5
calls.

instructions   of its own   times
          22                       task 7 prog
          18            4       1    sys  ● first
          14            2       1      g  ○ second
           2            2            f (…)
           2            2       1    the program

●   a stop of the lab in the function
○   a stop in a function that it calls, which is cut off here
(…) entered before: only what it ran after that is counted
1 returns or switches could not be told; their instructions are counted, and may
be in the wrong branch.
`},
		{Cut{Depth: 9, Width: 64}, ""},
	} {
		var b bytes.Buffer
		if err := Text(&b, example(t), tt.cut); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, b.String()); diff != "" && tt.want != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); tt.cut.Width > 0 && n > tt.cut.Width && !strings.ContainsAny(line, "●○↪(?") {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, example(t)); err != nil {
		t.Fatal(err)
	}
	if err := schematest.Load(t, "calls.schema.json").Check(t, b.String()); err != nil {
		t.Error(err)
	}
}

// The numbers of the folded stacks are all instructions.
func TestFolded(t *testing.T) {
	tree := example(t)
	var b bytes.Buffer
	if err := Folded(&b, tree); err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for line := range strings.Lines(b.String()) {
		var n uint64
		i := strings.LastIndexByte(line, ' ')
		if _, err := fmt.Sscan(line[i:], &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != tree.Ran || !strings.Contains(b.String(), "7 prog;sys;g;h;f 4\n") {
		t.Errorf("%d instructions of %d in\n%s", sum, tree.Ran, b.String())
	}
}

// A view of a task or a function has only that; one that is not there is refused, and
// what is like it is named.
func TestView(t *testing.T) {
	tree := example(t)
	for _, tt := range []struct {
		view View
		want string // the shape, or what the error says
	}{
		{View{In: "h"}, "7 prog 12\n tail call h 4/12 x1 [second]\n  call f 4/8 x1\n   interrupt irq 2/4 x1\n    "},
		{View{In: "hh"}, `"hh"`},
		{View{Task: "7", In: "f"}, "7 prog 10\n call f 6/10 x1\n"},
		{View{Task: "8"}, "give a pid"},
	} {
		got, err := tt.view.Of(tree)
		text := fmt.Sprint(err)
		if err == nil {
			text = shape(got)
		}
		if !strings.Contains(text, strings.TrimSpace(tt.want)) {
			t.Errorf("%+v: %s, want %s", tt.view, text, tt.want)
		}
	}
}
